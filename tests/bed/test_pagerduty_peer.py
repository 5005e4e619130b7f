"""The stand-in for PagerDuty enforces the Events API v2 and computes incidents from it."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.bed.pagerduty_peer import ROUTING_KEY, PagerDutyPeer
from tests.bed.pagerduty_peer import pagerduty as serve
from tests.bed.web import JsonObject, Rate


@pytest.fixture
async def peer() -> AsyncIterator[PagerDutyPeer]:
    async with serve() as running:
        yield running


def event(action: str = "trigger", dedup_key: str = "incident-1", **payload: object) -> JsonObject:
    body: JsonObject = {"routing_key": ROUTING_KEY, "event_action": action, "dedup_key": dedup_key}
    if action == "trigger":
        body["payload"] = {"summary": "it burns", "source": "responder", "severity": "critical", **payload}
    return body


async def send(peer: PagerDutyPeer, body: JsonObject, path: str = "/v2/enqueue") -> tuple[int, JsonObject]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(1)) as session,
        session.post(peer.url + path, data=json.dumps(body)) as answer,
    ):
        content = await answer.text()
        return answer.status, json.loads(content) if content.startswith("{") else {"text": content}


async def test_triggers_with_one_key_are_one_incident(peer: PagerDutyPeer) -> None:
    for _ in range(2):
        status, answer = await send(peer, event())
        assert (status, answer["dedup_key"]) == (202, "incident-1")
    await send(peer, event("acknowledge"))
    assert [one.status for one in peer.open()] == ["acknowledged"]
    await send(peer, event("resolve"))
    assert peer.open() == []
    await send(peer, event())
    assert [one.status for one in peer.incidents] == ["resolved", "triggered"]


async def test_a_resolve_without_an_open_alert_is_dropped_silently(peer: PagerDutyPeer) -> None:
    status, _ = await send(peer, event("resolve"))
    assert status == 202
    assert len(peer.dropped) == 1
    assert peer.incidents == []


async def test_an_unknown_routing_key_is_accepted_and_dropped(peer: PagerDutyPeer) -> None:
    peer.routing_keys = {"f" * 32}
    assert (await send(peer, event()))[0] == 202
    assert peer.incidents == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({**event(), "routing_key": "short"}, "routing_key"),
        ({**event(), "event_action": "shout"}, "event_action"),
        (event(dedup_key="x" * 256), "dedup_key"),
        (event(summary="x" * 1025), "summary"),
        (event(summary=""), "summary"),
        (event(source=""), "source"),
        (event(severity="high"), "severity"),
        (event(timestamp="yesterday"), "timestamp"),
        ({**event(), "payload": None}, "payload"),
        ({**event(), "links": [{"text": "no href"}]}, "links"),
        ({**event(), "images": [{"src": "http://plain"}]}, "images"),
    ],
)
async def test_an_invalid_event_is_refused(peer: PagerDutyPeer, body: JsonObject, word: str) -> None:
    status, answer = await send(peer, body)
    assert status == 400
    assert answer["status"] == "invalid event"
    assert len(answer["errors"]) == 1
    assert word in answer["errors"][0]
    assert peer.events == []


async def test_what_just_fits_is_accepted(peer: PagerDutyPeer) -> None:
    assert (await send(peer, event(dedup_key="x" * 255, summary="x" * 1024)))[0] == 202


async def test_more_than_512_kilobytes_are_refused(peer: PagerDutyPeer) -> None:
    assert (await send(peer, event(custom_details={"log": "x" * 512 * 1024})))[0] == 413


async def test_calls_are_limited_per_routing_key(peer: PagerDutyPeer) -> None:
    peer.calls = Rate(2, 60)
    statuses = [(await send(peer, event()))[0] for _ in range(3)]
    other = await send(peer, {**event(), "routing_key": "f" * 32})
    assert (statuses, other[0]) == ([202, 202, 429], 202)


async def test_changes_are_kept_apart(peer: PagerDutyPeer) -> None:
    change = {"routing_key": ROUTING_KEY, "payload": {"summary": "scaled to 4", "source": "responder"}}
    assert (await send(peer, change, "/v2/change/enqueue"))[0] == 202
    assert (await send(peer, {**change, "payload": {}}, "/v2/change/enqueue"))[0] == 400
    assert (len(peer.changes), peer.incidents) == (1, [])


async def test_a_lost_reply_still_opens_the_incident(peer: PagerDutyPeer) -> None:
    peer.faults.next("lost_reply")
    with pytest.raises(aiohttp.ClientError):
        await send(peer, event())
    peer.faults.next("status", status=500)
    assert (await send(peer, event(dedup_key="other")))[0] == 500
    assert [one.dedup_key for one in peer.open()] == ["incident-1"]
