"""``alertmanager.silence`` on a real Alertmanager behind a proxy; what it did is what its silences say."""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import JsonValue

from responder.clients.toolbox import Toolbox
from responder.clients.witnesses import AlertmanagerSpec
from responder.domain.errors import Temporary
from tests.bed.proxy import Mode, Proxy, proxied
from tests.bed.servers import Alertmanager
from tests.conformance.action_bed import SECRET, Bed, BedKind, ProxiedBed, Shape

TARGET = "http/checkout"
MATCHERS = ['alertname="Lag"', 'cluster=~"eu-.*"', 'team!="x"', 'env!~"test|dev"']
SHAPES = {
    "silence": Shape(
        "alertmanager.silence",
        {"source": "main", "matchers": [*MATCHERS], "for": "30m", "comment": "rebuilding"},
        target=TARGET,
        binary=True,
    )
}


class AlertmanagerBed(ProxiedBed):
    """An Alertmanager with one silence of somebody else."""

    landing = ("lost_reply",)
    losing = ("lost_request",)
    refusals = {"refused": Temporary}  # noqa: RUF012 - never written
    telling = ("", "refused")
    unreadable = ("refused",)

    def __init__(self, proxy: Proxy, url: str) -> None:
        self.proxy, self.url = proxy, url
        spec = AlertmanagerSpec(proxy.through(url), {"Authorization": f"Bearer {SECRET}"}, lambda: None)
        self.tools = self.hasty = Toolbox({}, {}, alertmanagers={"main": spec})
        self._silenced = 0

    async def silences(self) -> list[dict[str, Any]]:
        """Return every silence that is there, by asking itself."""
        found: list[dict[str, Any]] = await asyncio.to_thread(_call, "GET", f"{self.url}/api/v2/silences")
        return found

    async def clear(self) -> None:
        """End all silences, and count from here."""
        for one in await self.silences():
            if one["status"]["state"] != "expired":
                await asyncio.to_thread(_call, "DELETE", f"{self.url}/api/v2/silence/{one['id']}")
        self._before = {one["id"] for one in await self.silences()}

    _before: set[str]

    async def silence(self, name: str) -> None:
        """Let somebody silence something."""
        now = datetime.now(UTC)
        matchers = _matchers() if name == "Lag" else [_equal("alertname", name)]
        body = {"matchers": matchers, "createdBy": "ana", "comment": "by hand"}
        times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
        await asyncio.to_thread(_call, "POST", f"{self.url}/api/v2/silences", body | times)

    async def world(self) -> JsonValue:
        alive = [one for one in await self.silences() if one["status"]["state"] != "expired"]
        return [*sorted(f"{one['createdBy']} {sorted(map(str, one['matchers']))}" for one in alive)]

    async def changes(self) -> int:
        every = [one for one in await self.silences() if one["id"] not in self._before]
        ours = [one for one in every if one["createdBy"] == "responder"]
        return len(ours) + len([one for one in ours if one["status"]["state"] == "expired"])

    async def holds(self, image: JsonValue) -> bool:
        assert isinstance(image, dict)
        alive = [one for one in await self.silences() if one["status"]["state"] != "expired"]
        wanted = sorted(map(str, _matchers()))
        return image["silenced"] == any(sorted(map(str, one["matchers"])) == wanted for one in alive)

    async def fault(self, kind: str) -> None:
        if kind == "refused":
            await self.proxy.switch(Mode.REFUSE)
            return
        mode = Mode.LOSE_REPLY if kind == "lost_reply" else Mode.LOSE_REQUEST
        verb = b"DELETE /api" if await self.changes() else b"POST /api"
        await self.proxy.switch(mode, when=verb, once=True)

    async def edit_owned(self) -> None:
        await self.silence("Lag")

    async def edit_beside(self) -> None:
        pass  # the silence that somebody else has made is there from the beginning


def _matchers() -> list[dict[str, object]]:
    return [
        _equal("alertname", "Lag"),
        {"isEqual": True, "isRegex": True, "name": "cluster", "value": "eu-.*"},
        {"isEqual": False, "isRegex": False, "name": "team", "value": "x"},
        {"isEqual": False, "isRegex": True, "name": "env", "value": "test|dev"},
    ]


def _equal(name: str, value: str) -> dict[str, object]:
    return {"isEqual": True, "isRegex": False, "name": name, "value": value}


def _call(method: str, url: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - as above
        return json.loads(answer.read() or b"null")


@asynccontextmanager
async def on(url: str) -> AsyncIterator[AlertmanagerBed]:
    """Open a bed on an Alertmanager."""
    async with proxied(url) as proxy:
        bed = AlertmanagerBed(proxy, url)
        await bed.clear()
        await bed.silence("Beside")
        try:
            yield bed
        finally:
            with contextlib.suppress(OSError):
                await bed.clear()
            await bed.tools.close()


def opened(request: pytest.FixtureRequest, _: Shape) -> AbstractAsyncContextManager[Bed]:
    """Open a bed on the session's Alertmanager."""
    server: Alertmanager = request.getfixturevalue("silencing_alertmanager")
    return on(server.url)


KIND = BedKind(SHAPES, AlertmanagerBed, opened, server=True)
