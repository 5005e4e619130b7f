"""``http.get``: one value out of a JSON answer of a configured service."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field, JsonValue, field_validator

from responder.domain.errors import Permanent
from responder.language.allow import is_own_path
from responder.language.pointers import check_pointer, resolve
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools


class HttpGet(Probe):
    """Read a value from a named HTTP service by a JSON pointer (RFC 6901)."""

    name: ClassVar[str] = "http.get"
    lists: ClassVar[bool] = True
    example: ClassVar[str] = """\
name: workers
probe: http.get
with: { service: checkout, path: /admin/workers, pointer: /workers }
equals: 6
within: 10s
"""

    service: str = Field(description="a name under connections.http")
    path: str = Field(description="the path to GET")
    pointer: str = Field(default="", description="JSON pointer into the answer; empty: the answer itself")

    @field_validator("path")
    @classmethod
    def _path(cls, path: str) -> str:
        if not path.startswith("/"):
            msg = f"{path!r} is not a path; it starts with /"
            raise ValueError(msg)
        if not is_own_path(path):
            msg = f"{path!r} is never asked for: it could lead out of the service; write it without .., // or #"
            raise ValueError(msg)
        return path

    @field_validator("pointer")
    @classmethod
    def _pointer(cls, pointer: str) -> str:
        return check_pointer(pointer)

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the value; a pointer that leads nowhere is no data."""
        reply = await tools.http(self.service).call("GET", self.path)
        found = resolve(reply.body, self.pointer)
        if found is None:
            return Reading((), f"{self.service} has nothing at {self.pointer or '/'}")
        if isinstance(found, bool | int | float | str):
            return Reading((found,))
        msg = f"{self.service}: {self.pointer or '/'} is not a single value"
        raise Permanent(msg)

    async def items(self, labels: Mapping[str, str], tools: Tools) -> Sequence[JsonValue]:
        """Return the list at the pointer; anything else there is none."""
        reply = await tools.http(self.service).call("GET", self.path)
        found = resolve(reply.body, self.pointer)
        if isinstance(found, list):
            return found
        msg = f"{self.service}: {self.pointer or '/'} is not a list"
        raise Permanent(msg)
