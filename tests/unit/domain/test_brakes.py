"""Brakes: what covers what, which one wins, and what a file says that puts one on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from responder.domain.brakes import Origin, is_scope, read_brakes, unreadable
from responder.domain.limits import TRIP, Pause, Subject, halted, paused, tripped
from responder.domain.verdicts import Verdict

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
CAFE = Subject("add-workers", "http/checkout/workers", "shop", ("http.request", "kubernetes.scale"), "i1")
ORIGIN = Origin("file", "the file /brake on a", NOW)


def pause(scope: str = "all", kind: str = "pause", **more: object) -> Pause:
    return replace(Pause("p", kind, scope, "release", "ana", NOW), **more)  # type: ignore[arg-type] # a test's shorthand


@pytest.mark.parametrize(
    ("scope", "covers"),
    [
        ("all", True),
        ("team:shop", True), ("team:sh*", True), ("team:pay", False),
        ("playbook:add-*", True), ("playbook:ADD-*", False), ("playbook:other", False),
        ("action:http.request", True), ("action:kubernetes.*", True), ("action:*", True), ("action:redis.*", False),
        ("target:http/checkout", True), ("target:*/workers", True), ("target:http/cart", False),
        ("incident:i1", True), ("incident:i2", False),
        ("a word that a later version may know", True),
    ],
)  # fmt: skip
def test_a_scope_covers_what_it_names(scope: str, covers: bool) -> None:  # noqa: FBT001 - a table
    assert pause(scope).covers(CAFE, NOW) is covers


def test_what_nobody_knows_is_covered() -> None:
    unknown = Subject("add-workers", "http/checkout/workers")
    assert pause("team:pay").covers(unknown, NOW)
    assert pause("action:redis.*").covers(unknown, NOW)
    assert pause("incident:i2").covers(unknown, NOW)
    assert not pause("team:pay").covers(replace(unknown, team=""), NOW)  # an alert without a team is nobody's


def test_the_most_restrictive_wins_whatever_came_first() -> None:
    both = [pause(), pause("playbook:add-workers", "halt", actor="ben", reason="fire")]
    refusal = paused(both, CAFE, NOW)
    assert refusal is not None
    assert refusal.verdict is Verdict.HALTED
    assert refusal.reason == "Automation is halted. ben halted playbook:add-workers: “fire”."
    assert paused(both[:1], CAFE, NOW) is not None
    assert halted(both[:1], CAFE, NOW) is None
    assert halted(both, CAFE, NOW) == refusal
    assert halted([pause(kind="a kind of tomorrow")], CAFE, NOW) is not None


def test_a_trip_makes_its_playbook_ask_and_stops_nothing() -> None:
    trip = pause("playbook:add-workers", TRIP, actor="responder")
    assert paused([trip], CAFE, NOW) is None
    assert halted([trip], CAFE, NOW) is None
    refusal = tripped([pause(), trip], CAFE, NOW)
    assert refusal is not None
    assert refusal.verdict is Verdict.TRIPPED
    assert tripped([trip], replace(CAFE, playbook="other"), NOW) is None


def test_a_brake_ends_when_its_time_is_up_and_not_before() -> None:
    until = NOW + timedelta(minutes=30)
    brief = pause(until=until)
    assert brief.covers(CAFE, until - timedelta(microseconds=1))
    assert not brief.covers(CAFE, until)
    refusal = paused([brief], CAFE, NOW)
    assert refusal is not None
    assert refusal.retry_at == until


@pytest.mark.parametrize(
    "scope", ["", "everything", "team:", "team: ", "action", "host:x", "all:x", "target:a\nb", "team:" + "x" * 300]
)
def test_what_is_no_scope(scope: str) -> None:
    assert not is_scope(scope)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", [("pause", "all", "")]),
        ("\n  \n", [("pause", "all", "")]),
        ("halt\n", [("halt", "all", "")]),
        ("HALT: the shop burns", [("halt", "all", "the shop burns")]),
        ("pause\nhalt", [("halt", "all", "")]),
        (
            "team:shop\nhalt\ndisk is full\nask ana",
            [("halt", "team:shop", "disk is full; ask ana")],
        ),
        ("playbook:a\naction:http.*", [("pause", "playbook:a", ""), ("pause", "action:http.*", "")]),
        ("playbook:a\nall", [("pause", "all", "")]),
        ("halt playbook:a", [("halt", "playbook:a", "")]),
        ("playbok:a", [("pause", "all", "playbok:a")]),
        ("team:payments halt", [("halt", "team:payments", "")]),
        ("halt team:payments", [("halt", "team:payments", "")]),
        ("Halt, Team:payments, team:orders.", [("halt", "team:payments", ""), ("halt", "team:orders.", ""),
                                               ("halt", "team:orders", "")]),
        ("team:payments,team:orders", [("pause", "team:payments,team:orders", ""), ("pause", "team:payments", ""),
                                       ("pause", "team:orders", "")]),
        ("team:site reliability", [("pause", "team:site", "reliability"),
                                   ("pause", "team:site reliability", "reliability")]),
        ("disk swap halt team:payments", [("halt", "team:payments", "disk swap halt")]),
        ("the disk is full, please halt", [("halt", "all", "the disk is full, please")]),
        ("halt all disk swap", [("halt", "all", "disk swap")]),
        ("team:payments all", [("pause", "all", "")]),
        ("team:payments\nall disks are full", [("pause", "team:payments", "all disks are full")]),
        ("team:payments\ntem:orders", [("pause", "all", "tem:orders")]),
        ("team:payments\nteam: orders", [("pause", "all", "team: orders")]),
        ("team:payments\nTeams:orders", [("pause", "all", "Teams:orders")]),
        ("Incident: the shop burns", [("pause", "all", "Incident: the shop burns")]),
        ("team:payments\nteam:" + "x" * 300, [("pause", "all", "team:" + "x" * 300)]),
        ("team:payments\nsee https://tickets/OPS-1 ticket:OPS-1",
         [("pause", "team:payments", "see https://tickets/OPS-1 ticket:OPS-1")]),
    ],
)  # fmt: skip
def test_what_a_file_says(text: str, said: list[tuple[str, str, str]]) -> None:
    found = read_brakes(text, ORIGIN)
    assert [(one.kind, one.scope, one.reason) for one in found] == said
    assert {(one.source, one.actor, one.until) for one in found} == {("file", "the file /brake on a", None)}
    assert len({one.id for one in found}) == len(found)


def test_what_cannot_be_read_halts_everything() -> None:
    (brake,) = unreadable("Permission denied", ORIGIN)
    assert (brake.kind, brake.scope) == ("halt", "all")
    assert "Permission denied" in brake.reason
