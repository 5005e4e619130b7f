"""``responder letters``: what was set aside, and the way back."""

import pytest

from tests.unit.cli.conftest import Json, Peer, Responder

ROWS: list[Json] = [
    {"incident": "i1", "destination": "slack:#gone", "state": "dead", "changed_at": "2026-01-05T12:00Z", "error": "x"},
    {"incident": "i1", "destination": "pagerduty:payments", "state": "dead", "changed_at": "", "error": "400"},
    {"incident": "i2", "destination": "slack:#gone", "state": "dead", "changed_at": "", "error": "channel_not_found"},
    {"incident": "i3", "destination": "slack:#gone", "state": "told", "changed_at": "", "error": ""},
]  # fmt: skip
DELIVERY: Json = {"id": "d1", "source": "alertmanager", "state": "dead", "received_at": "", "error": "not JSON"}


@pytest.fixture(autouse=True)
def set_aside(peer: Peer) -> None:
    peer.lists("outbox", ROWS)
    peer.lists("deliveries", [DELIVERY])
    peer.answers["POST", "redrive"] = {}


def _sent(peer: Peer) -> list[object]:
    return [body["id"] for path, body in peer.of("POST") if path == "redrive"]


def test_what_was_set_aside_is_listed_with_why(responder: Responder) -> None:
    result = responder("letters")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 5)
    assert "channel_not_found" in result.stdout
    assert "(delivery of alertmanager)" in result.stdout
    assert responder("letters", "--destination", "slack:#gone", "-o", "name").stdout.split() == [
        "i1|slack:#gone", "i2|slack:#gone",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (["i1|slack:#gone"], ["i1|slack:#gone"]),
        (["i1"], ["i1|slack:#gone", "i1|pagerduty:payments"]),
        (["d1", "i2"], ["i2|slack:#gone", "d1"]),
        (["--destination", "slack:#gone"], ["i1|slack:#gone", "i2|slack:#gone"]),
        (["--all"], ["i1|slack:#gone", "i1|pagerduty:payments", "i2|slack:#gone", "d1"]),
    ],
)
def test_what_is_meant_is_sent_again_and_nothing_else(
    peer: Peer, responder: Responder, asked: list[str], sent: list[str]
) -> None:
    result = responder("letters", "send", *asked)
    assert (result.exit_code, result.stdout.split()) == (0, sent)
    assert _sent(peer) == sent


@pytest.mark.parametrize("asked", [["send"], ["i1"], ["ls", "i1"], ["send", "i1", "--all"], ["--all"]])
def test_what_is_not_clear_sends_nothing(peer: Peer, responder: Responder, asked: list[str]) -> None:
    result = responder("letters", *asked)
    assert result.exit_code == 2
    assert "responder letters send ID…" in result.stderr
    assert _sent(peer) == []


def test_an_id_that_is_not_set_aside_is_named(responder: Responder) -> None:
    result = responder("letters", "send", "i3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing is set aside under i3" in result.stderr
