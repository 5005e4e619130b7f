"""OpenAPI 3.1 of the API, made from the route table."""

import re
from collections.abc import Sequence

from pydantic import JsonValue

from responder.web.routes import Route

_IN_PATH = re.compile(r"\{([a-z]+)(?::[^}]*)?\}")
_ERROR: dict[str, JsonValue] = {
    "description": "What is wrong, and how to mend it.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {"error": {"type": "string"}, "hint": {"type": "string"}},
            },
        },
    },
}


def describe(routes: Sequence[Route], version: str) -> dict[str, JsonValue]:
    """Return the document."""
    paths: dict[str, dict[str, JsonValue]] = {}
    for route in routes:
        path = "/api/v1" + _IN_PATH.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Responder", "version": version},
        "paths": dict(paths),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "user": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{"token": []}, {"user": []}],
    }


def _operation(route: Route) -> dict[str, JsonValue]:
    in_path: list[JsonValue] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(route.path)
    ]
    in_query: list[JsonValue] = [
        {"name": one.name, "in": "query", "description": one.text, "schema": {"type": one.kind}} for one in route.query
    ]
    operation: dict[str, JsonValue] = {
        "operationId": f"{route.method.lower()}{re.sub('[^a-z]+', '_', route.path).rstrip('_')}",
        "summary": route.summary,
        "description": f"Takes the role {route.role}.",
        "parameters": in_path + in_query,
        "responses": {
            "200": {"description": "Done.", "content": {route.media: {"schema": dict(route.answer)}}},
            "default": _ERROR,
        },
    }
    if route.body:
        operation["requestBody"] = {"content": {"application/json": {"schema": _schema(route)}}}
    return operation


def _schema(route: Route) -> dict[str, JsonValue]:
    needed: list[JsonValue] = [name.rstrip("*") for name in route.body if name.endswith("*")]
    properties: dict[str, JsonValue] = {
        name.rstrip("*"): {"type": "string", "description": text} for name, text in route.body.items()
    }
    return {"type": "object", "required": needed, "properties": properties, "additionalProperties": False}
