"""Alertmanager's answers: what it shows of an alert, an error where that cannot be told, never silence."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from responder.clients import alertmanager as module
from responder.clients.alertmanager import AlertmanagerClient, alerts_of, group_of
from responder.domain.alerts import Shown, fingerprint
from responder.domain.errors import Permanent, StepError, Temporary
from tests.bed.alerts import alert, instant
from tests.bed.servers import Alertmanager, alertmanager_config
from tests.bed.web import JsonObject, cut, serving

PAYLOADS = Path(__file__).parents[2] / "payloads" / "api"
VERSIONS = ("am25", "am33")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def asking(answer: Answer, timeout: float = 4.0) -> AsyncIterator[AlertmanagerClient]:  # noqa: ASYNC109 - what is tested
    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    async with serving(app) as url:
        client = AlertmanagerClient(url, headers={"Authorization": "Bearer planted-secret"}, timeout=timeout)
        try:
            yield client
        finally:
            await client.close()


def says(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers=headers)

    return answer


def shown(**status: object) -> JsonObject:
    """Return an alert as the API writes one."""
    return {
        "fingerprint": "0123456789abcdef",
        "labels": {"alertname": "Down"},
        "annotations": {},
        "startsAt": "2026-01-05T12:00:00.000Z",
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], **status},
    }


# --- what is captured -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_captured_alerts_are_read(version: str) -> None:
    [one] = alerts_of((PAYLOADS / f"{version}_alerts.json").read_bytes())
    assert (one.status, one.shown, one.fingerprint) == ("firing", Shown.ACTIVE, "95020d23acdcf4e9")
    assert one.labels == {"alertname": "T", "instance": "i0", "sc": "silpart"}
    assert fingerprint(one.labels) == one.fingerprint
    assert one.starts_at == datetime(2026, 11, 23, 15, 25, 8, 797_000, UTC)
    assert (one.ends_at, one.generator_url) == (None, "")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_captured_group_is_found_by_its_receiver_and_labels(version: str) -> None:
    body = (PAYLOADS / f"{version}_groups.json").read_bytes()
    labels = {"alertname": "PodCrashLooping", "cluster": "stg"}
    [one] = group_of(body, "grouped", labels)
    assert (one.labels["pod"], one.annotations) == ("web-9", {"summary": "other cluster"})
    assert one.generator_url.startswith("http://prom.example:9090/graph?g0.expr=")
    assert group_of(body, "another", labels) == ()
    assert group_of(body, "grouped", {"alertname": "PodCrashLooping"}) == ()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, Shown.ACTIVE),
        ({"state": "suppressed", "silencedBy": ["s"]}, Shown.SILENCED),
        ({"state": "suppressed", "inhibitedBy": ["i"]}, Shown.INHIBITED),
        ({"state": "suppressed", "silencedBy": ["s"], "inhibitedBy": ["i"]}, Shown.SILENCED),
        ({"silencedBy": ["s"]}, Shown.SILENCED),
        ({"state": "unprocessed"}, Shown.UNCLEAR),
        ({"state": "suppressed", "mutedBy": ["nights"]}, Shown.UNCLEAR),
        ({"state": "something new"}, Shown.UNCLEAR),
    ],
)
def test_only_what_is_plainly_active_counts_as_active(status: JsonObject, expected: Shown) -> None:
    [one] = alerts_of(json.dumps([shown(**status)]).encode())
    assert one.shown is expected


# --- what is not understood -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[null]",
        "<html>",
        '[{"fingerprint": "0123456789abcdef"}]',
        json.dumps([shown() | {"status": {"state": "active"}}]),
        json.dumps([shown() | {"fingerprint": "elsewhere"}]),
        json.dumps([shown() | {"startsAt": "yesterday"}]),
        json.dumps([shown() | {"labels": {"alertname": 1}}]),
        json.dumps([shown()])[:-1],
        "[" * 100_000,
    ],
)
async def test_an_answer_that_is_not_understood_is_an_error(text: str) -> None:
    async with asking(says(text)) as client:
        with pytest.raises(Temporary):
            await client.alerts()


@pytest.mark.parametrize(("status", "error"), [(500, Temporary), (503, Temporary), (302, Temporary), (401, Permanent)])
async def test_a_status_that_is_not_200_is_an_error_without_secrets(status: int, error: type[StepError]) -> None:
    answer = says("no: Bearer planted-secret", status, {"Location": "/elsewhere"})
    async with asking(answer) as client:
        with pytest.raises(error) as raised:
            await client.alerts()
    assert f"answered {status}" in str(raised.value)
    assert "planted-secret" not in str(raised.value)


async def test_an_answer_that_takes_too_long_is_an_error() -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with asking(hang, 0.1) as client:
        with pytest.raises(Temporary):
            await client.alerts()


async def test_a_connection_that_is_cut_is_an_error() -> None:
    async def reset(request: web.Request) -> web.StreamResponse:
        return cut(request)

    async with asking(reset) as client:
        with pytest.raises(Temporary):
            await client.alerts()


async def test_an_answer_that_is_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100)
    async with asking(says(json.dumps([shown()]))) as client:
        with pytest.raises(Temporary, match="longer than"):
            await client.alerts()


async def test_a_large_answer_is_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "THREAD_FROM", 1)
    async with asking(says(json.dumps([shown()]))) as client:
        assert len(await client.alerts()) == 1


@pytest.mark.parametrize("text", ["{}", '{"uptime": "soon"}', '{"uptime": "2026-01-05T12:00:00"}', "[]"])
async def test_an_uptime_that_is_not_understood_is_an_error(text: str) -> None:
    async with asking(says(text)) as client:
        with pytest.raises(Temporary):
            await client.uptime()


async def test_the_uptime_goes_by_the_clock_of_alertmanager() -> None:
    answer = says('{"uptime": "2001-01-01T00:00:00.000Z"}', headers={"Date": "Mon, 01 Jan 2001 01:00:00 GMT"})
    async with asking(answer) as client:
        assert await client.uptime() == timedelta(hours=1)


# --- a real one -----------------------------------------------------------------------------------------------------


async def test_a_real_alertmanager_shows_alerts_groups_and_since_when_it_is_up(alertmanager: Alertmanager) -> None:
    receiver = "with.meta(s) and-more"
    config = alertmanager_config("http://127.0.0.1:9/", receiver=receiver)
    await asyncio.to_thread(alertmanager.configure, config)
    ends_at = instant(datetime.now(UTC) + timedelta(hours=1))
    sent = [alert(alertname=name, instance=place) for name, place in (("A", "1"), ("A", "2"), ("B", "1"))]
    await asyncio.to_thread(
        alertmanager.post, [{"labels": one["labels"], "startsAt": one["startsAt"], "endsAt": ends_at} for one in sent]
    )
    client = AlertmanagerClient(alertmanager.url)
    try:
        assert {one.fingerprint for one in await client.alerts()} == {one["fingerprint"] for one in sent}
        assert [one.labels["alertname"] for one in await client.alerts(['alertname="B"'])] == ["B"]
        group = await client.group(receiver, {"alertname": "A"})
        assert sorted(one.labels["instance"] for one in group) == ["1", "2"]
        assert await client.group("with.meta", {"alertname": "A"}) == ()
        with pytest.raises(Permanent):
            await client.alerts(["not a matcher"])
        up = await client.uptime()
    finally:
        await client.close()
    assert timedelta(seconds=-2) < up < timedelta(minutes=1)
