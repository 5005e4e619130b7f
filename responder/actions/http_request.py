"""``http.request``: change owned keys of a JSON resource of a configured service, and put them back."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from responder.domain.errors import Drifted, Permanent
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Snapshot
from responder.ports.tools import HttpReply, Tools

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class Adjust(BaseModel):
    """Compute a number from the before-image: ``by`` or ``to``, kept within ``min`` and ``max``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: float | None = Field(default=None, description="add this much")
    to: float | None = Field(default=None, description="set to this")
    min: float | None = Field(default=None, description="never go below this")
    max: float | None = Field(default=None, description="never go above this")

    @model_validator(mode="after")
    def _one(self) -> "Adjust":
        if (self.by is None) == (self.to is None):
            msg = "give either by or to"
            raise ValueError(msg)
        return self

    def of(self, field: str, before: JsonValue) -> JsonValue:
        """Return the planned number; raises ValueError when there is none to start from."""
        if self.to is not None:
            wanted = self.to
        elif isinstance(before, bool) or not isinstance(before, int | float):
            msg = f"{field} is {before!r}, not a number to add to"
            raise ValueError(msg)
        else:
            wanted = before + (self.by or 0)
        bounded = max(wanted, self.min) if self.min is not None else wanted
        bounded = min(bounded, self.max) if self.max is not None else bounded
        return int(bounded) if float(bounded).is_integer() else bounded


class HttpRequest(Action):
    """Change a resource of a named HTTP service; it owns the keys in ``json`` or ``set``, and undo sends only those."""

    name: ClassVar[str] = "http.request"
    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "key"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "value"
    example: ClassVar[str] = """\
http.request:
  service: checkout
  read: GET /admin/workers
  send: PUT /admin/workers
  set: { workers: { by: 2, max: 8 } }
  undo: PUT /admin/workers
"""

    service: str = Field(description="a name under connections.http")
    read: str | None = Field(default=None, description="how to read the resource, such as GET /admin/workers")
    send: str = Field(description="how to change it, such as PUT /admin/workers")
    json_: dict[str, JsonValue] | None = Field(default=None, alias="json", description="the keys to send")
    set_: dict[str, Adjust] | None = Field(default=None, alias="set", description="keys computed from what is there")
    undo_: str | None = Field(default=None, alias="undo", description="how to change it back; default: as send")
    undo_json: dict[str, JsonValue] | None = Field(default=None, description="sent back instead of the before-image")
    headers: dict[str, str] = Field(default_factory=dict, description="further headers; never credentials")

    @field_validator("read", "send", "undo_")
    @classmethod
    def _line(cls, line: str | None) -> str | None:
        if line is not None:
            request_line(line)
        return line

    @model_validator(mode="after")
    def _sound(self) -> "HttpRequest":
        if (self.json_ is None) == (self.set_ is None):
            msg = "give either json or set"
            raise ValueError(msg)
        if self.read is None and (self.set_ is not None or self.undo_json is None):
            msg = "without read there is no before-image: give read, or json together with undo_json"
            raise ValueError(msg)
        return self

    @property
    def owned(self) -> tuple[str, ...]:
        """The keys that this action owns."""
        return tuple(self.json_ or self.set_ or ())

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the owned keys and the ETag, if the service has one."""
        if self.read is None:
            return Snapshot(None)
        reply = await self._call(tools, self.read)
        return Snapshot(self._image(reply), reply.etag)

    def change(self, before: JsonValue) -> JsonValue:
        """Return the owned keys as they will be."""
        if self.json_ is not None:
            return dict(self.json_)
        image = before if isinstance(before, Mapping) else {}
        return {key: adjust.of(key, image.get(key)) for key, adjust in (self.set_ or {}).items()}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Send the planned keys once, under the record's key and ETag."""
        reply = await self._call(tools, self.send, record.planned, record.key("do"), record.fence)
        image = self._owned_of(reply.body)
        return image if image is not None else record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Compare the owned keys with what they were and what they should have become."""
        if self.read is None:
            return Landed.UNKNOWN
        now = (await self.snapshot(target, tools)).image
        before, after = record.before, record.observed if record.observed is not None else record.planned
        if direction == "undo":
            before, after = after, self._goal(record)
        if now == after:
            return Landed.YES
        return Landed.NO if now == before else Landed.UNKNOWN

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Send the before-image's owned keys back, unless somebody else has changed them since."""
        fence = ""
        if self.read is not None:
            current = await self.snapshot(target, tools)
            if current.image == self._goal(record):
                return
            if current.image != record.observed:
                msg = f"{', '.join(self.owned)} changed since: {current.image} instead of {record.observed}"
                raise Drifted(msg)
            fence = current.fence
        await self._call(tools, self.undo_ or self.send, self._goal(record), record.key("undo"), fence)

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Without a way to read nobody can tell, and the change is undone as told."""
        return self.read is not None and await super().drifted(target, record, tools)

    def _goal(self, record: Record) -> JsonValue:
        return dict(self.undo_json) if self.undo_json is not None else record.before

    def _image(self, reply: HttpReply) -> JsonValue:
        image = self._owned_of(reply.body)
        if image is None:
            msg = f"{self.service}: the answer to {self.read!r} lacks one of {', '.join(self.owned)}"
            raise Permanent(msg)
        return image

    def _owned_of(self, body: JsonValue) -> dict[str, JsonValue] | None:
        if not isinstance(body, dict) or not all(key in body for key in self.owned):
            return None
        return {key: body[key] for key in self.owned}

    async def _call(self, tools: Tools, line: str, json: JsonValue = None, key: str = "", fence: str = "") -> HttpReply:
        method, path = request_line(line)
        headers = dict(self.headers)
        if key:
            headers["Idempotency-Key"] = key
        if fence:
            headers["If-Match"] = fence
        return await tools.http(self.service).call(method, path, json, headers)


def request_line(line: str) -> tuple[str, str]:
    """Split ``PUT /admin/workers``; raises ValueError with the form to write."""
    method, _, path = line.partition(" ")
    path = path.strip()
    if method not in METHODS or not path.startswith("/"):
        msg = f"{line!r} is not a method and a path, such as PUT /admin/workers"
        raise ValueError(msg)
    return method, path
