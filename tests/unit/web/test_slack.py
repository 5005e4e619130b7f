"""What Slack sends, without Slack: signatures, payloads, and a store that takes its time."""

import asyncio
import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from slack_sdk.signature import Clock, SignatureVerifier

from responder.domain.buttons import Press
from responder.domain.errors import Unavailable
from responder.ports.audit import Audit
from responder.web.application import make_application
from responder.web.parts import Refused
from responder.web.server import WebServer
from responder.web.slack.desk import ANSWER_SECONDS, Desk
from responder.web.slack.envelopes import take_envelope
from responder.web.slack.payloads import Command, Pressed, command, form, interaction, pressed
from responder.web.slack.signature import check_signature
from tests.bed.slack_clicks import PATIENCE
from tests.bed.slack_peer import signed
from tests.unit.web.conftest import Bed

SECRET, NOW = "planted-signing-secret", datetime(2026, 11, 27, 9, 0, tzinfo=UTC)


class _Then(Clock):
    def now(self) -> float:
        return NOW.timestamp()


def _fits(stamp: str, signature: str, body: bytes) -> bool:
    try:
        check_signature(SECRET, stamp, signature, body, NOW)
    except Refused as refused:
        return _refused(refused, 401)
    return True


def _refused(refused: Refused, status: int) -> bool:
    """Hold a refusal against what it may be, and return False."""
    assert (refused.status, SECRET in refused.error + refused.hint) == (status, False)
    return False


@given(body=st.binary(max_size=60), secret=st.sampled_from([SECRET, "another"]), off=st.integers(-302, 302))
def test_a_signature_is_judged_as_slacks_own_library_does(body: bytes, secret: str, off: int) -> None:
    headers = signed(secret, body, NOW.timestamp() + off)
    stamp, signature = headers["X-Slack-Request-Timestamp"], headers["X-Slack-Signature"]
    readable = body.decode("utf-8", "ignore").encode() == body  # their verifier raises for any other
    wanted = secret == SECRET and abs(off) <= 300
    if readable and abs(off) <= 300:
        assert SignatureVerifier(SECRET, _Then()).is_valid(body, stamp, signature) is wanted
    assert _fits(stamp, signature, body) is wanted


@given(st.text(max_size=20), st.text(max_size=20))
def test_headers_that_hold_anything_are_refused(stamp: str, signature: str) -> None:
    assert not _fits(stamp, signature, b"x")


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.just("block_actions") | _ANY,
            "user": _ANY,
            "response_url": _ANY,
            "actions": st.lists(
                st.fixed_dictionaries({"action_id": st.just("responder_stop") | _ANY, "value": _ANY}), max_size=2
            )
            | _ANY,
        },
    )
)
def test_a_payload_of_any_shape_is_read_or_refused(payload: dict[str, object]) -> None:
    try:
        found = pressed(interaction(json.dumps(payload)))
    except Refused as refused:
        _refused(refused, 400)
    else:
        assert found is None or found.incident


@given(st.binary(max_size=80))
def test_a_body_of_any_bytes_is_a_form_or_refused(body: bytes) -> None:
    try:
        command(dict(form(body)))
    except Refused as refused:
        _refused(refused, 400)


def test_a_press_is_read_with_what_its_button_carries() -> None:
    value = json.dumps({"incident": "i1", "run": "r1", "revision": "abc"})
    payload = {
        "type": "block_actions",
        "user": {"id": "U0ANA"},
        "response_url": "https://hooks.slack.com/actions/x",
        "actions": [{"action_id": "responder_undo", "value": value}],
    }
    body = urlencode({"payload": json.dumps(payload)}).encode()
    asked = pressed(interaction(form(body)["payload"]))
    assert asked == Pressed("U0ANA", Press.UNDO, "i1", "r1", "abc", "https://hooks.slack.com/actions/x")


class _Said:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.told = asyncio.Event()

    async def __call__(self, url: str, text: str) -> None:
        assert url == "u"
        self.texts.append(text)
        self.told.set()


async def test_a_store_that_takes_its_time_is_not_said_to_have_taken_the_click(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, free = _Said(), asyncio.Event()
    written = bed.store.pressed

    async def slow(once: str, press: Audit, incident_id: str) -> bool:
        await free.wait()
        return await written(once, press, incident_id)

    monkeypatch.setattr(bed.store, "pressed", slow)
    assert ANSWER_SECONDS + 0.5 < PATIENCE, "with some time for the way"
    desk = Desk(bed.parts(), said, answer_seconds=0.05)
    asked = Pressed("U0WHO", Press.STOP, "i1", "r1", "x", "u")
    outcome = await desk.take(asked, "once", "https")
    assert (outcome.status, outcome.committed, said.texts) == (503, False, [])
    free.set()
    await asyncio.wait_for(said.told.wait(), 10)
    assert "does not know who you are" in said.texts[0]
    await desk.drain()


async def test_a_store_that_fails_leaves_a_click_unacknowledged_and_says_so(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(once: str, press: Audit, incident_id: str) -> bool:
        raise Unavailable("no store")

    monkeypatch.setattr(bed.store, "pressed", gone)
    said = _Said()
    desk = Desk(bed.parts(), said)
    value = json.dumps({"incident": "i1", "run": "r1", "revision": "x"})
    payload: dict[str, JsonValue] = {
        "type": "block_actions", "user": {"id": "U0ANA"}, "response_url": "u",
        "actions": [{"action_id": "responder_stop", "value": value}],
    }  # fmt: skip
    assert await take_envelope(desk, "e1", "interactive", payload) is None
    await asyncio.wait_for(said.told.wait(), 10)
    assert "Nobody can tell whether this was done" in said.texts[0]
    assert await take_envelope(desk, "e2", "slash_commands", {"user_id": "U0ANA", "text": "status"}) is not None
    assert [one["status"] for one in bed.of("slack_asked")] == [503, 503]
    await desk.drain()


async def test_a_request_is_taken_up_once(bed: Bed) -> None:
    desk = Desk(bed.parts(), _Said())
    asked = Command("U0WHO", "status")
    assert [(await desk.take(asked, "same", "https")).status for _ in range(2)] == [200, 409]
    assert (await desk.take(asked, "another", "https")).status == 200
    await desk.drain()


@pytest.mark.parametrize("path", ["/slack/interactions", "/slack/commands"])
async def test_without_a_signing_secret_nothing_is_there(bed: Bed, path: str) -> None:
    server = WebServer(make_application(bed.parts(), Desk(bed.parts(), _Said())), ["127.0.0.1:0"])
    await server.start()
    url = f"http://127.0.0.1:{server.ports[0]}{path}"
    async with aiohttp.ClientSession() as session, session.post(url, data=b"x") as got:
        assert got.status == 404
    await server.stop()
