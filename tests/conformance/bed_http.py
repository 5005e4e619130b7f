"""``http.request`` in each of its shapes, on a peer that honours ETags and idempotency keys and keeps a ledger."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from pydantic import JsonValue

from responder.clients.toolbox import HttpSpec, Toolbox
from responder.domain.errors import Permanent, Temporary
from tests.bed import ledger, target_peer
from tests.bed.target_peer import Target
from tests.conformance.action_bed import SECRET, Bed, BedKind, Shape

START: dict[str, JsonValue] = {"workers": 4, "paused": False, "mode": "normal", "colour": "blue"}
READ = "GET /admin/it"


def http(blind: bool = False, **arguments: JsonValue) -> Shape:  # noqa: FBT001, FBT002 - a property of the shape
    """Return a shape of ``http.request``."""
    given: dict[str, JsonValue] = {"service": "shop", "send": "PATCH /admin/it", **arguments}
    return Shape("http.request", given, blind, replaces="PUT" in json.dumps(given))


SHAPES = {
    "json": http(read=READ, json={"paused": True, "mode": "low"}),
    "set by": http(read=READ, set={"workers": {"by": 2}}),
    "set by, bounded": http(read=READ, set={"workers": {"by": 100, "max": 8}}),
    "set down, bounded": http(read=READ, set={"workers": {"by": -100, "min": 1}}),
    "set to": http(read=READ, set={"workers": {"to": 7}}),
    "another line to undo": http(read=READ, json={"paused": True}, undo="PUT /admin/it"),
    "post": http(read=READ, send="PUT /admin/it", json={"paused": True}),
    "read and undo_json": http(read=READ, json={"paused": True}, undo_json={"paused": False}),
    "blind": http(blind=True, json={"paused": True}, undo_json={"paused": False}),
}


def toolbox(url: str, *, seconds: float = 10) -> Toolbox:
    """Return tools that know the peer as ``shop``."""
    credentials = {"Authorization": f"Bearer {SECRET}"}
    return Toolbox({"shop": HttpSpec(url, ("* /admin/*",), credentials, lambda: None, timedelta(seconds=seconds))}, {})


class HttpBed(Bed):
    """The peer, with the resource ``it``."""

    landing = ("lost_reply", "applied_error", "applied_hang")
    losing = ("503", "reset", "hang")
    refusals = {"409": Temporary, "429": Temporary, "403": Permanent, "422": Permanent}  # noqa: RUF012 - never written
    telling = ("", "403", "503", "reset")
    unreadable = ("503", "reset", "404")

    def __init__(self, target: Target) -> None:
        self.peer = target
        self.peer.resources["it"] = dict(START)
        self.tools, self.hasty = toolbox(target.url), toolbox(target.url, seconds=0.4)

    async def world(self) -> JsonValue:
        return json.loads(json.dumps(self.peer.resources["it"]))  # type: ignore[no-any-return]  # it is JSON

    async def changes(self) -> int:
        return len(ledger.effects(self.peer.ledger.entries))

    async def holds(self, image: JsonValue) -> bool:
        return isinstance(image, dict) and image.items() <= self.peer.resources["it"].items()

    async def fault(self, kind: str) -> None:
        self.peer.fault(kind)

    async def unread(self, kind: str) -> None:
        self.peer.fault(kind, on="read")

    async def heal(self) -> None:
        self.peer.settings.latency_ms = 0

    async def edit_owned(self) -> None:
        self.peer.resources["it"] |= {"workers": 5, "paused": "partly", "mode": "odd"}

    async def edit_beside(self) -> None:
        self.peer.resources["it"]["colour"] = "red"

    async def stall(self) -> None:
        self.peer.settings.latency_ms = 10_000

    async def used_credentials(self) -> bool:
        return self.peer.ledger.entries[0].headers["Authorization"] == f"Bearer {SECRET}"


@asynccontextmanager
async def opened(_: pytest.FixtureRequest, __: Shape) -> AsyncIterator[Bed]:
    """Open a bed of a peer of its own."""
    async with target_peer.target() as running:
        bed = HttpBed(running)
        yield bed
        await bed.tools.close()
        await bed.hasty.close()


KIND = BedKind(SHAPES, HttpBed, opened)
