"""The chain of candidates: who acts, who waits, who is next, when a person is asked."""

from dataclasses import replace
from datetime import timedelta

import pytest

from responder.domain.limits import Limits, Usage
from responder.domain.modes import Mode
from responder.domain.runs import FINAL, PASSES_ON, SETTLES, Progress, RunState
from responder.language.intervals import TimeInterval
from responder.language.templates import Template
from responder.playbook.model import ApprovalRule, Condition, Playbook
from tests.unit.decide.bed import MINUTE, SECOND, START, Scene, alert, playbook, scene

FIRST = playbook("first", priority=1)
SECOND_ONE = playbook("second", priority=2)
_FOR_PEOPLE = (RunState.UNKNOWN, RunState.FAILED, RunState.PARTLY_ROLLED_BACK)
"""How runs end that leave their target to people; the failed one with a change."""


def runs_of(s: Scene, name: str) -> list[str]:
    return [run.id for run in s.world.runs.values() if run.playbook == name]


async def fail(s: Scene, name: str, state: RunState, *, after: bool = True, effects: int = 1) -> None:
    (run,) = [run for run in s.world.runs.values() if run.playbook == name and not run.state.final]
    s.world.end(run, state, after=after, effects=effects)
    await s.wait(SECOND)


@pytest.mark.promise(20)
async def test_the_first_candidate_by_priority_then_name_gets_the_run() -> None:
    s = scene(playbook("zeta", priority=1), playbook("beta"), playbook("alpha"))
    await s.turn(alert())
    assert [run.playbook for run in s.world.runs.values()] == ["zeta"]
    assert s.world.verdicts() == ["run"]


async def test_no_match_is_said_once_and_counted() -> None:
    s = scene(playbook("restart", 'alertname="Other"'))
    await s.turn(alert())
    assert s.world.verdicts() == ["no_match"]
    assert s.world.decisions[0].playbook == ""


async def test_a_run_is_pinned_and_frozen_and_has_a_deadline() -> None:
    s = scene(
        playbook(
            steps=2,
            mode=Mode.APPROVE,
            verify=(Condition("up", within=3 * MINUTE, hold=MINUTE),),
            approval=ApprovalRule(timeout=10 * MINUTE),
        ),
    )
    await s.turn(alert(annotations={"summary": "down"}))
    run = s.world.run
    assert run.revision == "revision of restart"
    assert run.context.labels["service"] == "checkout"
    assert run.context.annotations == {"summary": "down"}
    assert (run.mode, run.state, run.due_at) == (Mode.APPROVE, RunState.RESOLVING, START)
    assert run.deadline - START == (2 + 4 + 10 + 5) * MINUTE


async def test_a_run_that_did_not_help_hands_over_to_the_next_candidate() -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    await fail(s, "first", RunState.ROLLED_BACK)
    assert [len(runs_of(s, "first")), len(runs_of(s, "second"))] == [1, 1]


async def test_what_was_undone_is_not_begun_again_while_the_next_one_waits_for_its_moment() -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    await fail(s, "first", RunState.ROLLED_BACK)
    for minute in (1, 3, 7):
        await fail(s, "second", RunState.SKIPPED, effects=0)
        await s.turn(at=minute * MINUTE)
    assert [len(runs_of(s, "first")), len(runs_of(s, "second"))] == [1, 4]


@pytest.mark.parametrize("state", sorted(FINAL - {RunState.SKIPPED, RunState.OBSERVED}))
async def test_the_next_candidate_follows_behind_the_ends_that_the_reference_names(state: RunState) -> None:
    """``after`` is what the run leaves behind where it passes on; without it no end does."""
    for after in (True, False):
        s = scene(FIRST, SECOND_ONE)
        await s.turn(alert())
        passes = after and state in PASSES_ON
        await fail(s, "first", state, after=passes, effects=0 if state is RunState.FAILED else 1)
        await s.turn(alert(), at=5 * MINUTE)
        assert [len(runs_of(s, "first")), len(runs_of(s, "second"))] == [1, passes]


async def test_at_the_end_of_the_chain_a_person_is_asked_about_the_failed_run() -> None:
    s = scene(FIRST, SECOND_ONE, page="pagerduty:payments")
    await s.turn(alert())
    await fail(s, "first", RunState.ROLLED_BACK)
    await fail(s, "second", RunState.ROLLED_BACK)
    (incident,) = s.world.open_incidents()
    assert incident.needs_person_run == runs_of(s, "second")[0]
    assert "second" in incident.needs_person
    assert "rolled back" in incident.needs_person
    assert "No other playbook applies" in incident.needs_person
    assert len(s.world.runs) == 2


async def test_an_acknowledged_failure_is_not_asked_about_again_at_each_repeat() -> None:
    s = scene(FIRST)
    await s.turn(alert())
    await fail(s, "first", RunState.ROLLED_BACK)
    (incident,) = s.world.open_incidents()
    s.world.incidents[incident.id] = replace(incident, needs_person="", needs_person_run="")
    await s.turn(alert(), at=5 * MINUTE)
    assert [one.needs_person for one in s.world.open_incidents()] == [""]
    assert len(s.world.runs) == 1


async def test_attempts_allow_another_run_before_a_person_is_asked() -> None:
    s = scene(playbook("first", limits=Limits(attempts=2)))
    await s.turn(alert())
    await fail(s, "first", RunState.ROLLED_BACK)
    assert len(runs_of(s, "first")) == 1, "the target comes to rest first"
    await s.turn(at=MINUTE)
    assert len(runs_of(s, "first")) == 2
    await fail(s, "first", RunState.ROLLED_BACK)
    assert len(runs_of(s, "first")) == 2
    assert s.world.open_incidents()[0].needs_person


@pytest.mark.parametrize("group", ["{}:{}", "{}:{other}"])
async def test_another_try_comes_when_it_is_due_though_the_alert_is_heard_of_again_before(group: str) -> None:
    """Also in another group of its sender: it moves to another incident, and takes its try along."""
    s = scene(playbook("first", limits=Limits(attempts=2)))
    await s.turn(alert())
    await fail(s, "first", RunState.ROLLED_BACK)
    s.world.now = START + 2 * SECOND
    s.world.deliver(alert(), group_key=group)
    await s.turn(at=2 * SECOND)
    assert len(runs_of(s, "first")) == 1
    await s.turn(at=MINUTE)
    assert len(runs_of(s, "first")) == 2


@pytest.mark.parametrize("playbooks", [(playbook("first", limits=Limits(attempts=2)),), (FIRST, SECOND_ONE)])
@pytest.mark.parametrize("state", [RunState.FAILED, RunState.SKIPPED])
async def test_nothing_is_begun_on_a_target_before_it_wants_to_be_asked_again(
    playbooks: tuple[Playbook, ...], state: RunState
) -> None:
    s = scene(*playbooks)
    await s.turn(alert())
    until = START + 40 * MINUTE
    s.world.runs[s.world.run.id] = replace(s.world.run, progress=Progress(left_alone_until=until))
    await fail(s, "first", state, effects=0)
    for minute in range(1, 40, 5):
        await s.turn(alert(), at=minute * MINUTE)
    assert len(s.world.runs) == 1
    said = [one for one in s.world.decisions if one.verdict == "cooldown"]
    assert said
    assert {one.retry_at for one in said} == {until}
    assert all(f"{until:%H:%M:%S} UTC" in one.reason and "(Retry-After)" in one.reason for one in said)
    await s.turn(at=40 * MINUTE + SECOND)
    assert len(s.world.runs) == 2


async def test_a_condition_that_fails_gives_the_next_candidate_its_turn() -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    await fail(s, "first", RunState.SKIPPED, effects=0)
    assert [len(runs_of(s, "first")), len(runs_of(s, "second"))] == [1, 1]


async def test_when_all_were_skipped_the_chain_starts_again_ever_more_slowly() -> None:
    s = scene(FIRST)
    await s.turn(alert())
    waits = []
    for _ in range(7):
        await fail(s, "first", RunState.SKIPPED, effects=0)
        due = s.world.episode.reconsider_at
        assert due is not None
        waits.append((due - s.world.now).total_seconds())
        assert not s.world.open_incidents()[0].needs_person
        await s.turn(alert(), at=due - START)
    assert waits == [30, 60, 120, 240, 480, 900, 900]
    assert len(runs_of(s, "first")) == 8


async def test_an_undone_candidate_is_passed_by_when_the_chain_starts_again() -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    await fail(s, "first", RunState.ROLLED_BACK)
    await fail(s, "second", RunState.SKIPPED, effects=0)
    await s.wait(30 * SECOND)
    assert [len(runs_of(s, "first")), len(runs_of(s, "second"))] == [1, 2]


async def test_a_later_refusal_of_a_run_brings_the_same_candidate_back() -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    s.world.end(s.world.run, RunState.SKIPPED, effects=0, due=True)
    await s.wait(SECOND)
    assert [len(runs_of(s, "first")), len(runs_of(s, "second"))] == [2, 0]


async def test_a_run_knows_how_many_before_it_were_skipped_in_a_row() -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    for _ in range(3):
        s.world.end(s.world.runs[runs_of(s, "first")[-1]], RunState.SKIPPED, effects=0, due=True)
        await s.wait(SECOND)
    assert [s.world.runs[run].context.skipped for run in runs_of(s, "first")] == [0, 1, 2, 3]


async def test_a_verified_run_supersedes_the_others() -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    s.world.end(s.world.run, RunState.VERIFIED)
    await s.turn(alert(), at=5 * MINUTE)
    assert s.world.verdicts("first")[-1] == "acted"
    assert s.world.verdicts("second") == ["superseded"]
    assert len(s.world.runs) == 1


@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.FAILED, RunState.UNKNOWN, RunState.EXPIRED])
async def test_what_a_person_stopped_or_is_asked_about_is_not_followed_by_another_try(state: RunState) -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    s.world.end(s.world.run, state, effects=0)
    await s.turn(alert(), at=5 * MINUTE)
    await s.turn(alert(), at=10 * MINUTE)
    assert len(s.world.runs) == 1
    assert s.world.verdicts("first")[-1] == "acted"


@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.ROLLED_BACK, RunState.PARTLY_ROLLED_BACK])
async def test_what_a_person_declined_is_not_begun_again_however_many_attempts_are_left(state: RunState) -> None:
    s = scene(playbook("first", limits=Limits(attempts=5)))
    await s.turn(alert())
    s.world.runs[s.world.run.id] = replace(s.world.run, stop_by="ana")
    s.world.end(s.world.run, state)
    for minute in range(1, 30, 5):
        await s.turn(alert(), at=minute * MINUTE)
    assert len(s.world.runs) == 1
    assert s.world.verdicts("first")[-1] == "acted"
    assert "by a person's word" in s.world.decisions[-1].reason


@pytest.mark.parametrize("state", [RunState.SKIPPED, RunState.ROLLED_BACK])
async def test_what_a_person_stopped_ends_the_chain_though_it_was_passed_on(state: RunState) -> None:
    """A stop that a turn has not seen is one all the same: neither the same nor the next playbook is begun."""
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    s.world.runs[s.world.run.id] = replace(s.world.run, stop_by="ana")
    s.world.end(s.world.run, state, effects=0 if state is RunState.SKIPPED else 1, after=True)
    for minute in range(1, 30, 5):
        await s.turn(alert(annotations={"at": str(minute)}), at=minute * MINUTE)
    assert len(s.world.runs) == 1
    assert s.world.verdicts("second") == []


@pytest.mark.parametrize(
    "now",
    [
        (playbook("first", mode=Mode.DISABLED), SECOND_ONE),
        (replace(FIRST, mute=(TimeInterval.parse({"weekdays": ["sunday:saturday"]}),)), SECOND_ONE),
        (SECOND_ONE,),
        (playbook("earlier", priority=0), FIRST, SECOND_ONE),
        (SECOND_ONE, replace(FIRST, priority=300)),
    ],
    ids=["disabled", "muted", "gone", "new", "last"],
)
@pytest.mark.parametrize(
    "state", [RunState.ROLLED_BACK, RunState.UNKNOWN, RunState.FAILED, RunState.PARTLY_ROLLED_BACK]
)
async def test_behind_a_no_nothing_is_begun_whatever_playbooks_there_are_by_then(
    now: tuple[Playbook, ...], state: RunState
) -> None:
    """Whoever has stopped a playbook, or is asked to look at what it left, may well disable it next.

    That gives no other one its turn.
    """
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    s.world.runs[s.world.run.id] = replace(s.world.run, stop_by="ana" if state is RunState.ROLLED_BACK else "")
    s.world.end(s.world.run, state)
    s.shelf.playbooks = now
    for minute in range(1, 30, 5):
        await s.turn(alert(annotations={"at": str(minute)}), at=minute * MINUTE)
    assert len(s.world.runs) == 1
    assert {one.run_id for one in s.world.decisions[1:]} == {s.world.run.id}


async def test_what_a_person_took_back_is_not_begun_again_however_many_attempts_are_left() -> None:
    s = scene(playbook("first", limits=Limits(attempts=5)))
    await s.turn(alert())
    run = s.world.run
    s.world.end(run, RunState.ROLLED_BACK, after=False)
    back = replace(run, id="back", kind="rollback", of_run=run.id, state=RunState.ROLLED_BACK, finished_at=START)
    s.world.runs["back"], s.world.served["back"] = back, set()
    await s.turn(alert(), at=5 * MINUTE)
    assert list(s.world.runs) == [run.id, "back"]


async def test_behind_what_a_person_declined_no_earlier_candidate_is_tried_once_more() -> None:
    s = scene(playbook("first", priority=1, limits=Limits(attempts=5)), SECOND_ONE)
    await s.turn(alert())
    await fail(s, "first", RunState.ROLLED_BACK)
    (second,) = [run for run in s.world.runs.values() if run.playbook == "second"]
    s.world.runs[second.id] = replace(second, stop_by="ana")
    await fail(s, "second", RunState.ROLLED_BACK, after=False)
    for minute in range(1, 30, 5):
        await s.turn(alert(annotations={"at": str(minute)}), at=minute * MINUTE)
    assert len(s.world.runs) == 2


@pytest.mark.parametrize("state", _FOR_PEOPLE)
async def test_what_stands_in_doubt_is_not_tried_again_before_a_person_has_looked(state: RunState) -> None:
    s = scene(playbook("first", limits=Limits(attempts=5)))
    await s.turn(alert())
    s.world.end(s.world.run, state, effects=1)
    for minute in range(1, 30, 5):
        await s.turn(alert(), at=minute * MINUTE)
    assert len(s.world.runs) == 1


async def test_alerts_with_the_same_playbook_and_target_share_one_run() -> None:
    s = scene(playbook())
    await s.turn(alert(pod="a"), alert(pod="b"))
    await s.turn(alert(pod="c"), at=MINUTE)
    assert s.world.served[s.world.run.id] == set(s.world.episodes)
    assert sorted(s.world.verdicts()) == ["joined", "joined", "run"]
    assert s.world.run.context.labels["pod"] == "a"


async def test_an_alert_is_not_joined_to_a_run_that_is_giving_back() -> None:
    s = scene(playbook())
    await s.turn(alert(pod="a"))
    s.world.put(s.world.run, RunState.UNDOING)
    await s.turn(alert(pod="b"), at=MINUTE)
    assert s.world.last().verdict == "busy"


async def test_while_its_run_is_under_way_an_alert_starts_nothing_else() -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    for minute in range(1, 4):
        await s.turn(alert(annotations={"value": str(minute)}), at=minute * MINUTE)
    assert len(s.world.runs) == 1


async def test_a_change_that_is_kept_for_a_while_is_not_made_again_for_the_same_alert() -> None:
    s = scene(FIRST, SECOND_ONE)
    await s.turn(alert())
    s.world.put(s.world.run, RunState.KEPT)
    await s.turn(alert(), at=5 * MINUTE)
    assert len(s.world.runs) == 1


async def test_repeats_do_not_shorten_the_wait_after_a_skipped_run() -> None:
    s = scene(FIRST)
    await s.turn(alert())
    for _ in range(2):
        await fail(s, "first", RunState.SKIPPED, effects=0)
        await s.wait(30 * SECOND)
    due = s.world.episode.reconsider_at
    assert due is not None
    await s.turn(alert(), at=due - START - SECOND)
    assert len(s.world.runs) == 2
    await s.wait(SECOND)
    assert len(s.world.runs) == 3


async def test_a_playbook_that_only_tells_takes_the_alert_on() -> None:
    s = scene(playbook("tell", steps=0, priority=1), SECOND_ONE)
    await s.turn(alert())
    assert s.world.verdicts() == ["told"]
    assert not s.world.runs


async def test_observe_starts_a_run_whatever_the_limits_and_only_once() -> None:
    s = scene(playbook(mode=Mode.OBSERVE))
    s.world.doubts["http/checkout"] = "in doubt"
    await s.turn(alert())
    assert s.world.run.mode is Mode.OBSERVE
    s.world.end(s.world.run, RunState.OBSERVED, effects=0)
    await s.turn(alert(), at=5 * MINUTE)
    assert s.world.verdicts() == ["run", "acted"]


async def test_what_only_watches_does_not_keep_another_from_acting() -> None:
    s = scene(playbook("watch", mode=Mode.OBSERVE, priority=1), playbook("watch2", mode=Mode.OBSERVE), SECOND_ONE)
    await s.turn(alert())
    assert [run.playbook for run in s.world.runs.values()] == ["watch", "second"]


async def test_a_playbook_promoted_from_observe_acts() -> None:
    s = scene(playbook(mode=Mode.OBSERVE))
    await s.turn(alert())
    s.world.end(s.world.run, RunState.OBSERVED, effects=0)
    s.shelf.playbooks = (playbook(mode=Mode.AUTO),)
    await s.turn(alert(), at=5 * MINUTE)
    assert [run.mode for run in s.world.runs.values()] == [Mode.OBSERVE, Mode.AUTO]


async def test_a_failing_guard_gives_the_next_candidate_its_turn() -> None:
    s = scene(playbook("first", target="http/{{ labels.nothing }}", priority=1), SECOND_ONE)
    await s.turn(alert())
    assert s.world.verdicts() == ["label_missing", "run"]
    assert "labels.nothing" in s.world.last("first").reason


async def test_attempts_exhausted_asks_a_person_when_nobody_else_can_help() -> None:
    s = scene(playbook(limits=Limits(attempts=2)))
    s.world.usages["restart", "http/checkout"] = Usage(unsuccessful=2)
    s.world.deliver(alert())
    s.world.now += MINUTE
    await s.turn(alert())
    (incident,) = s.world.open_incidents()
    assert "tried twice" in incident.needs_person


async def test_what_keeps_coming_back_asks_a_person_when_nobody_else_can_help() -> None:
    s = scene(playbook())
    s.world.usages["restart", "http/checkout"] = Usage(helped=(s.world.now,) * 3)
    s.world.deliver(alert())
    s.world.now += MINUTE
    await s.turn(alert())
    (incident,) = s.world.open_incidents()
    assert "helped 3 times on this target" in incident.needs_person


async def test_a_cleared_cause_is_acted_on_without_a_new_delivery() -> None:
    s = scene(playbook())
    s.world.doubts["http/checkout"] = "run x"
    await s.turn(alert())
    assert s.world.last().verdict == "quarantined"
    s.world.doubts.clear()
    await s.wait(timedelta(seconds=59))
    assert not s.world.runs
    await s.wait(2 * SECOND)
    assert len(s.world.runs) == 1


async def test_a_run_has_time_for_the_range_of_its_queries_and_for_new_samples() -> None:
    query = Template.parse("rate(x[10m])")
    s = scene(playbook(steps=1, verify=(Condition("errors", query=query, within=3 * MINUTE),)))
    await s.turn(alert())
    assert s.world.run.deadline - START == (1 + 10 + 3 + 5) * MINUTE + SETTLES
