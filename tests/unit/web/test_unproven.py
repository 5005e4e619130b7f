"""Bodies that are read before anybody knows who sends them: they never take the room of those who have shown it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from responder.intake.buffer import ByteBudget
from responder.web.application import make_application
from responder.web.parts import Parts
from responder.web.server import WebServer
from responder.web.slack.desk import Desk
from tests.bed.slack_peer import signed
from tests.bed.waiting import eventually
from tests.unit.web.conftest import AM_TOKEN, SETTINGS, Bed, raw, settings_of
from tests.unit.web.test_webhook import BODY, GRAFANA, signature

SECRET = "planted-signing-secret"
TOLD = f"""\
notify:
  slack: {{ token: xoxb-planted, signing_secret: {SECRET} }}
  pagerduty: {{ services: {{ shop: {{ routing_key: {"k" * 32} }} }}, webhook_secret: {SECRET} }}
"""
CALLED = ("/slack/interactions", "/slack/commands", "/pagerduty/webhook")
LARGEST = 256 * 1024


async def _silent(_url: str, _text: str) -> None:
    pass


@asynccontextmanager
async def _serving(bed: Bed, folder: Path) -> AsyncIterator[tuple[Parts, int]]:
    bed.settings = settings_of(folder, SETTINGS + TOLD)
    parts = bed.parts()
    server = WebServer(make_application(parts, Desk(parts, _silent)), ["127.0.0.1:0"])
    await server.start()
    try:
        yield parts, server.ports[0]
    finally:
        await server.stop()


def _head(path: str, length: int, stamp: str = "", *more: str) -> bytes:
    fields = (f"X-Slack-Request-Timestamp: {stamp or int(time.time())}", f"Content-Length: {length}", *more)
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: x", "Connection: close", *fields, "", "")).encode()


@pytest.mark.parametrize("path", [*CALLED, "/webhook/grafana"])
async def test_bodies_that_nothing_proves_yet_take_no_room_from_alerts(bed: Bed, tmp_path: Path, path: str) -> None:
    bed.budget = ByteBudget(len(BODY))
    async with _serving(bed, tmp_path) as (parts, port), AsyncExitStack() as stack:
        room = parts.unproven if path in CALLED else parts.unproven_webhooks
        for _ in range(4):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(_head(path, 2 * len(BODY), "", "X-Grafana-Alerting-Signature: x") + BODY)
        await eventually(lambda: room.used == 4 * len(BODY))
        token = f"Authorization: Bearer {AM_TOKEN}"
        assert (await raw(port, _head("/webhook/am", len(BODY), "", token) + BODY)).startswith(b"HTTP/1.1 200")
        await stack.aclose()
        await eventually(lambda: room.used == 0)


@pytest.mark.parametrize("path", CALLED)
async def test_what_nothing_proves_is_bounded_alone_and_together(bed: Bed, tmp_path: Path, path: str) -> None:
    async with _serving(bed, tmp_path) as (parts, port):
        assert (await raw(port, _head(path, LARGEST + 1))).startswith(b"HTTP/1.1 413")
        assert (await raw(port, _head(path, LARGEST) + bytes(LARGEST))).startswith(b"HTTP/1.1 401")
        assert parts.unproven.take(8 * 1024 * 1024)
        assert (await raw(port, _head(path, 2) + b"{}")).startswith(b"HTTP/1.1 503")


async def _answers(port: int, heads: Sequence[bytes]) -> set[bytes]:
    return {(await raw(port, head, wait=5)).partition(b"\r\n")[0] for head in heads}


async def test_a_stamp_that_is_old_or_none_is_refused_before_the_body_is_waited_for(bed: Bed, tmp_path: Path) -> None:
    wrong = ("soon", str(int(time.time()) - 400), str(int(time.time()) + 400))
    async with _serving(bed, tmp_path) as (_, port):
        heads = [_head(path, 100, stamp) for path in CALLED[:2] for stamp in wrong]
        hmac = [_head("/webhook/stamped", 100, "", "X-Grafana-Alerting-Signature: x", f"X-Stamp: {at}") for at in wrong]
        unsigned = _head("/webhook/grafana", 100)
        assert await _answers(port, [*heads, *hmac, unsigned]) == {b"HTTP/1.1 401 Unauthorized"}
    assert len(bed.of("access_refused")) == len(heads)


async def test_what_is_proved_is_taken_as_before(bed: Bed, tmp_path: Path) -> None:
    async with _serving(bed, tmp_path) as (parts, port):
        body = b"ssl_check=1"
        fields = [f"{name}: {value}" for name, value in signed(SECRET, body).items()]
        assert (await raw(port, _head("/slack/commands", len(body), "", *fields[1:]) + body)).startswith(
            b"HTTP/1.1 200"
        )
        grafana = f"X-Grafana-Alerting-Signature: {signature(GRAFANA)}"
        answer = await raw(port, _head("/webhook/grafana", len(GRAFANA), "", grafana) + GRAFANA)
        assert answer.startswith(b"HTTP/1.1 200")
        assert (parts.unproven.used, parts.unproven_webhooks.used, bed.budget.used) == (0, 0, 0)
