"""The API's routes as data: registered from here, described in OpenAPI from here."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from pydantic import JsonValue

from responder.settings import Role
from responder.web.auth import Caller, require
from responder.web.parts import PARTS

_INERT = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; sandbox"}
"""A document that a browser shows runs nothing and loads nothing."""

JsonHandler = Callable[[web.Request, Caller], Awaitable[JsonValue]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter."""

    name: str
    text: str
    kind: Literal["string", "integer"] = "string"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API. ``body`` maps the keys of a JSON body to what they mean; ``*`` marks needed ones.

    With another ``media`` than JSON the handler returns the text as it is sent.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: JsonHandler
    role: Role
    summary: str
    query: tuple[Parameter, ...] = ()
    body: Mapping[str, str] = field(default_factory=dict)
    answer: Mapping[str, JsonValue] = field(default_factory=lambda: {"type": "object"})
    media: str = "application/json"

    def serve(self) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return the handler that checks the role and answers JSON."""

        async def handle(request: web.Request) -> web.Response:
            caller = await require(request, self.role)
            answer = await self.handler(request, caller)
            answer = request.app[PARTS].mask(answer)
            if self.media != "application/json":
                return web.Response(text=str(answer), content_type=self.media, headers=_INERT)
            return web.json_response(answer, headers={"Cache-Control": "no-store"})

        return handle
