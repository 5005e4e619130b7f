"""``http.request``: change owned keys of a JSON resource of a configured service, and put them back."""

import math
import re
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from responder.domain.errors import Drifted, Permanent, StepError, Uncertain
from responder.domain.portions import Portion, apart
from responder.domain.records import Direction, Record
from responder.language.allow import is_own_path
from responder.language.pointers import check_pointer, resolve
from responder.ports.action import Action, Landed, Snapshot, landed_by_value
from responder.ports.tools import HttpReply, Tools

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_READING = "GET"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_NOT_KEPT = re.compile("[\0\ud800-\udfff]")
_OURS = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    }
)
"""Headers that carry credentials or the fence, frame the message, or would lead around the allow-list."""


class Adjust(BaseModel):
    """Compute a number from the before-image: ``by`` or ``to``, kept within ``min`` and ``max``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: float | None = Field(default=None, allow_inf_nan=False, description="add this much")
    to: float | None = Field(default=None, allow_inf_nan=False, description="set to this")
    min: float | None = Field(
        default=None, allow_inf_nan=False, description="never go below this; and what is below already is left as it is"
    )
    max: float | None = Field(
        default=None, allow_inf_nan=False, description="never go above this; and what is above already is left as it is"
    )

    @model_validator(mode="after")
    def _one(self) -> "Adjust":
        if (self.by is None) == (self.to is None):
            msg = "give either by or to"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _possible(self) -> "Adjust":
        if self.min is not None and self.max is not None and self.min > self.max:
            msg = f"min {self.min:g} is above max {self.max:g}"
            raise ValueError(msg)
        return self

    def of(self, field: str, before: JsonValue) -> JsonValue:
        """Return the planned number; raises ValueError when there is none to start from."""
        if self.to is not None:
            return _whole(self._bounded(self.to))
        if isinstance(before, bool) or not isinstance(before, int | float):
            msg = f"{field} is {before!r}, not a number to add to"
            raise ValueError(msg)  # noqa: TRY004 - what Action.change() promises to raise
        by = self.by or 0
        wanted = self._bounded(_sum(field, before, by))
        # What is beyond a bound already stays there: to add must never take away.
        return _whole(max(wanted, before) if by > 0 else min(wanted, before))

    def portions(self, field: str, before: JsonValue, by: Portion) -> tuple["Adjust", ...]:
        """Return what makes the change together: none of them goes beyond where it was planned to stop.

        Raises ValueError when there is no number to start from, or too many of them would be needed.
        """
        goal = self.of(field, before)
        if isinstance(before, bool) or not isinstance(before, int | float) or not isinstance(goal, int | float):
            msg = f"{field} is {before!r}, not a number that could be changed in portions"
            raise ValueError(msg)  # noqa: TRY004 - what Action.portions() promises to raise
        found: list[Adjust] = []
        at: float = before
        for stop in by.stops(before, goal):
            found.append(Adjust(by=_reaching(at, stop), **{"max" if stop > at else "min": stop}))
            at = stop
        return tuple(found)

    def _bounded(self, wanted: float) -> float:
        bounded = max(wanted, self.min) if self.min is not None else wanted
        return min(bounded, self.max) if self.max is not None else bounded


def _sum(field: str, before: float, by: float) -> float:
    """Add without rounding whole numbers; raises ValueError when the sum is no number."""
    if isinstance(before, int) and float(by).is_integer():
        return before + int(by)
    try:
        wanted = before + by
    except OverflowError:
        wanted = math.inf
    if not math.isfinite(wanted):
        msg = f"{field} is {before}, too great to add {by:g} to"
        raise ValueError(msg)
    return wanted


def _reaching(at: float, stop: float) -> float:
    """Return what to add so that the sum is not short of ``stop`` by a rounding; a bound takes what is too much."""
    by = apart(at, stop)
    short = at + by < stop if by > 0 else at + by > stop
    return by + math.copysign(2 * math.ulp(max(abs(at), abs(stop))), by) if short else by


def _whole(number: float) -> int | float:
    return int(number) if not isinstance(number, int) and number.is_integer() else number


class HttpRequest(Action):
    """Change a resource of a named HTTP service; it owns the keys in ``json`` or ``set``, and undo sends only those."""

    name: ClassVar[str] = "http.request"
    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "key"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "value"
    reach: ClassVar[str] = "http/{service}"
    changes: ClassVar[str] = "{send} of {service}"
    gradual: ClassVar[bool] = True
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
    pointer: str = Field(
        default="", description="JSON pointer to where the owned keys stand in what is read; they are sent without it"
    )
    send: str = Field(
        description="how to change it, such as PATCH /admin/workers; only the owned keys are sent, and many services "
        "take a PUT for the whole resource and drop the others: use PATCH there"
    )
    json_: dict[str, JsonValue] | None = Field(default=None, alias="json", description="the keys to send")
    set_: dict[str, Adjust] | None = Field(default=None, alias="set", description="keys computed from what is there")
    undo_: str | None = Field(default=None, alias="undo", description="how to change it back; default: as send")
    undo_json: dict[str, JsonValue] | None = Field(default=None, description="sent back instead of the before-image")
    headers: dict[str, str] = Field(default_factory=dict, description="further headers; never credentials")

    @field_validator("read")
    @classmethod
    def _reads(cls, line: str | None) -> str | None:
        if line is not None and request_line(line, _READING)[0] != _READING:
            msg = f"{line!r}: to read is a GET; anything else could change something"
            raise ValueError(msg)
        return line

    @field_validator("pointer")
    @classmethod
    def _pointer(cls, pointer: str) -> str:
        return check_pointer(pointer)

    @field_validator("send", "undo_")
    @classmethod
    def _changes(cls, line: str | None) -> str | None:
        if line is not None and request_line(line)[0] == _READING:
            msg = f"{line!r}: a GET that changes something is not safe to send; use POST, PUT, PATCH or DELETE"
            raise ValueError(msg)
        return line

    @field_validator("set_")
    @classmethod
    def _computes(cls, computed: dict[str, Adjust] | None) -> dict[str, Adjust] | None:
        if computed == {}:
            msg = "names no key: nothing would ever be changed"
            raise ValueError(msg)
        return computed

    @field_validator("headers")
    @classmethod
    def _plain(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable():
                msg = f"the header {name!r} holds what a header cannot"
                raise ValueError(msg)
            if name.lower() in _OURS:
                msg = f"the header {name} is set by the connection or by the action itself"
                raise ValueError(msg)
        return headers

    @model_validator(mode="after")
    def _sound(self) -> "HttpRequest":
        if (self.json_ is None) == (self.set_ is None):
            msg = "give either json or set"
            raise ValueError(msg)
        if self.read is not None and self.json_ == {}:
            msg = "json names no key: nothing would ever be changed"
            raise ValueError(msg)
        if self.read is None and (self.set_ is not None or self.undo_json is None):
            msg = "without read there is no before-image: give read, or json together with undo_json"
            raise ValueError(msg)
        return self

    @property
    def owned(self) -> tuple[str, ...]:
        """The keys that this action owns."""
        return tuple(self.json_ or self.set_ or ())

    def repeatable(self, record: Record, tools: Tools) -> bool:
        """A service with ETags refuses it, and one that is said to be idempotent; of others nobody knows."""
        known = bool(record.fence) or tools.http(self.service).idempotent
        return known and super().repeatable(record, tools)

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the owned keys and the ETag, if the service has one."""
        if self.read is None:
            return Snapshot(None)
        reply = await self._call(tools, self.read)
        # If-Match compares strongly (RFC 9110, 13.1.1): a weak tag would be refused each time.
        return Snapshot(self._image(reply), "" if reply.etag.startswith("W/") else reply.etag)

    def change(self, before: JsonValue) -> JsonValue:
        """Return the owned keys as they will be."""
        image = before if isinstance(before, Mapping) else {}
        if self.json_ is not None:
            return {key: _of_its_kind(key, value, image.get(key)) for key, value in self.json_.items()}
        return {key: adjust.of(key, image.get(key)) for key, adjust in (self.set_ or {}).items()}

    def goes_on_from(self, other: Action) -> bool:
        """Its keys are those of the other where both read the same place."""
        if self.read is None or not isinstance(other, HttpRequest):
            return False
        return (self.service, self.read, self.pointer) == (other.service, other.read, other.pointer)

    @classmethod
    def not_gradual(cls, arguments: Mapping[str, object]) -> str:
        """One number that is computed, and given back portion by portion."""
        written = arguments.get("set")
        if not isinstance(written, Mapping) or len(written) != 1:
            return "http.request changes a number in portions only where set: has one key, such as workers: { to: 8 }"
        return "undo_json gives everything back at once, not portion by portion" if "undo_json" in arguments else ""

    def portions(self, before: JsonValue, by: Portion) -> tuple[Self, ...]:
        """Add a portion at a time to the one number."""
        image = before if isinstance(before, Mapping) else {}
        ((field, adjust),) = (self.set_ or {}).items()
        parts = adjust.portions(field, image.get(field), by)
        return tuple(self.model_copy(update={"set_": {field: part}}) for part in parts)

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
        return landed_by_value(record, direction, now, self._goal(record))

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
        goal = self._goal(record)
        reply = await self._call(tools, self.undo_ or self.send, goal, record.key("undo"), fence)
        if self.read is not None and isinstance(goal, Mapping) and goal.keys() == set(self.owned):
            await self._make_sure(target, tools, self._owned_of(reply.body), goal)

    async def _make_sure(self, target: str, tools: Tools, image: JsonValue, goal: JsonValue) -> None:
        """Raise Uncertain unless the old values are back: a merge patch drops a null and mixes nested objects."""
        if image is None:
            try:
                image = (await self.snapshot(target, tools)).image
            except StepError as error:
                msg = f"the undo was sent, and cannot be looked at: {error}"
                raise Uncertain(msg) from error
        if image != goal:
            msg = f"the undo was sent, and there is {image} instead of {goal}"
            raise Uncertain(msg)

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Without a way to read nobody can tell, and the change is undone as told."""
        return self.read is not None and await super().drifted(target, record, tools)

    def _goal(self, record: Record) -> JsonValue:
        return dict(self.undo_json) if self.undo_json is not None else record.before

    def _image(self, reply: HttpReply) -> JsonValue:
        image = self._owned_of(reply.body)
        if image is None:
            at = f" at {self.pointer}" if self.pointer else ""
            msg = f"{self.service}: the answer to {self.read!r} lacks one of {', '.join(self.owned)}{at}"
            raise Permanent(msg)
        if not _can_be_kept(image):
            # A record with another character in its place would undo to something that never was.
            msg = (
                f"{self.service}: one of {', '.join(self.owned)} holds a NUL or half a character, which no store keeps"
            )
            raise Permanent(msg)
        return image

    def _owned_of(self, answer: JsonValue) -> dict[str, JsonValue] | None:
        body = resolve(answer, self.pointer)
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


def _can_be_kept(value: JsonValue) -> bool:
    """Whether a store gives ``value`` back as it is: neither database takes NUL or lone surrogates in a text."""
    if isinstance(value, str):
        return _NOT_KEPT.search(value) is None
    if isinstance(value, dict):
        return all(_can_be_kept(key) and _can_be_kept(one) for key, one in value.items())
    return all(map(_can_be_kept, value)) if isinstance(value, list) else True


def _of_its_kind(field: str, value: JsonValue, before: JsonValue) -> JsonValue:
    """Return a number where a number stands: a label's value is a text, and ``"9"`` is not 9 to a service.

    Raises ValueError when the text is no number.
    """
    if not isinstance(value, str) or isinstance(before, bool) or not isinstance(before, int | float):
        return value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        msg = f"{field} is {before}, a number, and {value!r} is none"
        raise ValueError(msg)
    return _whole(number)


def request_line(line: str, example: str = "PUT") -> tuple[str, str]:
    """Split ``PUT /admin/workers``; raises ValueError with the form to write, ``example`` being a method that fits."""
    method, _, path = line.partition(" ")
    path = path.strip()
    if method not in METHODS or not path.startswith("/"):
        msg = f"{line!r} is not a method and a path, such as {example} /admin/workers"
        raise ValueError(msg)
    if not is_own_path(path):
        msg = f"{path!r} is never sent: it could lead out of the service; write the path itself, without .., // or #"
        raise ValueError(msg)
    return method, path
