"""The page of the HTTP API: the routes that the application registers, and its OpenAPI document."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

from responder.web import openapi
from responder.web.application import api_routes, make_application
from responder.web.parts import Bounds, Parts
from responder.web.slack.desk import Desk
from scripts.reference.markdown import code, page, summary, table

BASE = "/api/v1"
DOCUMENT = f"{BASE}/openapi.json"


def http_api_page() -> str:
    """Return the page of every route."""
    return page(
        "HTTP API",
        "Credentials are a bearer token (`access.tokens`) or a user of the web configuration file, unless "
        '`access.anonymous` is set. Errors answer `{"error": …, "hint": …}`. Lists answer '
        '`{"items": […], "next": cursor-or-null}`, newest first. '
        f"The same as OpenAPI 3.1: `GET {DOCUMENT}`.",
        "## Webhooks, Slack, health and metrics",
        table(("Request", "What it does"), ((code(f"{method} {path}"), text) for method, path, text in plain_routes())),
        "## API",
        table(("Request", "What it does", "Role"), _operations()),
        *_details(),
    )


def document() -> Mapping[str, Any]:
    """Return the OpenAPI document."""
    return openapi.describe(api_routes(), "")


def plain_routes() -> list[tuple[str, str, str]]:
    """Return the routes that are not part of the API, each with its method, path and meaning."""
    # Registering uses the bounds and the version; what is asked for readiness is only kept.
    parts = cast("Parts", SimpleNamespace(bounds=Bounds(), version="", ready=None))
    app = make_application(parts, cast("Desk", SimpleNamespace()))
    found = []
    for route in app.router.routes():
        path = route.resource.canonical if route.resource else ""
        if route.method != "HEAD" and not path.startswith(BASE):
            found.append((route.method, path, summary(route.handler)))
    return found


def operations() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through the operations of the document as ``METHOD /path`` and what it says."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _operations() -> Iterator[tuple[str, str, str]]:
    roles = {f"{route.method} {BASE}{route.path}": route.role for route in api_routes()}
    for request, operation in operations():
        yield code(request), operation["summary"], roles.get(request, "")


def _details() -> Iterator[str]:
    """Describe the parameters and bodies; operations with the same ones share a table."""
    tables: dict[str, list[str]] = {}
    for request, operation in operations():
        rows = [*_parameters(operation), *_body(operation)]
        if rows:
            tables.setdefault(table(("Name", "Where", "Type", "Meaning"), rows), []).append(request)
    for text, requests in tables.items():
        yield f"{', '.join(code(one) for one in requests)}:\n\n{text}"


def _parameters(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for one in operation["parameters"]:
        if one["in"] == "query":
            yield code(one["name"]), one["in"], one["schema"]["type"], one.get("description", "")


def _body(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    if "requestBody" not in operation:
        return
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    for name, one in schema["properties"].items():
        needed = "**required** " if name in schema["required"] else ""
        yield code(name), "body", one["type"], needed + one.get("description", "")
