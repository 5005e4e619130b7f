"""Loops of our own making: linked, refused at the third run in a row, and told to a person."""

from datetime import timedelta

from responder.domain.limits import Limits
from responder.domain.modes import Mode
from responder.domain.runs import Run, RunState
from tests.unit.decide.bed import MINUTE, START, Scene, alert, playbook, scene

UP = playbook("up", 'alertname="Slow"')
DOWN = playbook("down", 'alertname="Idle"')


def runs_of(s: Scene, name: str) -> list[Run]:
    return [run for run in s.world.runs.values() if run.playbook == name]


async def act(s: Scene, name: str, *, minutes: int = 1) -> Run:
    """Let the latest run of a playbook make its change and be verified."""
    run = runs_of(s, name)[-1]
    s.world.act(run)
    s.world.now += minutes * MINUTE
    s.world.end(s.world.runs[run.id], RunState.VERIFIED)
    return s.world.runs[run.id]


async def fires(s: Scene, name: str, *, attempt: str = "") -> None:
    """Let an alert begin and be heard of a minute later, in a group of its own."""
    began = s.world.now + MINUTE
    s.world.now += 2 * MINUTE
    await s.turn(alert(alertname=name, starts_at=began, attempt=attempt), group_key=name + str(began))


async def ping_pong(s: Scene) -> tuple[Run, Run]:
    await fires(s, "Slow")
    first = await act(s, "up")
    await fires(s, "Idle")
    return first, await act(s, "down")


async def test_a_run_behind_a_run_is_linked_and_the_third_is_refused_with_a_page() -> None:
    s = scene(UP, DOWN)
    first, second = await ping_pong(s)
    assert (first.caused_by, first.depth) == ("", 1)
    assert (second.caused_by, second.depth) == (first.id, 2)
    assert f"began after run {first.id}" in s.world.last("down").reason

    await fires(s, "Slow", attempt="2")
    assert len(runs_of(s, "up")) == 1
    last = s.world.last("up")
    assert (last.verdict, last.retry_at) == ("loop", None)
    assert second.id in last.reason
    (asking,) = [one for one in s.world.open_incidents() if one.needs_person]
    assert "our own changes" in asking.needs_person


async def test_a_refused_loop_is_final_for_the_alert_however_long_it_waits() -> None:
    s = scene(playbook("up", 'alertname="Slow"', limits=Limits(max_age=timedelta(days=2))), DOWN)
    await ping_pong(s)
    await fires(s, "Slow", attempt="2")
    began = s.world.now - MINUTE
    for _ in range(5):
        s.world.now += timedelta(hours=3)
        await s.turn(alert(alertname="Slow", attempt="2", starts_at=began), group_key="again")
    assert len(runs_of(s, "up")) == 1


async def test_another_candidate_does_not_go_round_a_loop() -> None:
    s = scene(
        UP,
        DOWN,
        playbook("other", 'alertname="Slow"', priority=200),
        playbook("tells", 'alertname="Slow"', steps=0, priority=300),
    )
    await ping_pong(s)
    await fires(s, "Slow", attempt="2")
    assert runs_of(s, "other") == []
    assert [one for one in s.world.open_incidents() if one.needs_person]


async def test_what_fired_before_the_change_does_not_follow_from_it() -> None:
    s = scene(UP, DOWN)
    await fires(s, "Slow")
    before = s.world.now
    await act(s, "up")
    await s.turn(alert(alertname="Idle", starts_at=before), group_key="later")
    (run,) = runs_of(s, "down")
    assert (run.caused_by, run.depth) == ("", 1)


async def test_a_second_candidate_and_a_second_try_do_not_follow_from_the_first() -> None:
    s = scene(playbook("first", priority=1), playbook("second", priority=2))
    await s.turn(alert(starts_at=START + MINUTE))
    (first,) = runs_of(s, "first")
    s.world.act(first)
    s.world.now += 2 * MINUTE
    s.world.end(s.world.runs[first.id], RunState.ROLLED_BACK, after=True)
    await s.wait(MINUTE)
    (second,) = runs_of(s, "second")
    assert (second.caused_by, second.depth) == ("", 1)


async def test_an_alert_that_joined_a_run_does_not_follow_from_it() -> None:
    s = scene(playbook("first", priority=1), playbook("second", priority=2))
    early, late = alert(pod="a"), alert(pod="b", starts_at=START + MINUTE)
    await s.turn(early)
    s.world.act(runs_of(s, "first")[0])
    await s.turn(late, at=2 * MINUTE)
    assert s.world.verdicts("first") == ["run", "joined"]
    await s.turn(alert("resolved", pod="a", ends_at=START + 2 * MINUTE), at=3 * MINUTE)
    s.world.end(runs_of(s, "first")[0], RunState.ROLLED_BACK, after=True)
    await s.wait(MINUTE)
    (second,) = runs_of(s, "second")
    assert (second.caused_by, second.depth) == ("", 1)


async def test_the_same_playbook_on_the_same_target_again_is_for_recurrence_to_count() -> None:
    s = scene(UP)
    for attempt in range(3):
        await fires(s, "Slow", attempt=str(attempt))
        await act(s, "up")
    assert [run.depth for run in runs_of(s, "up")] == [1, 1, 1]
    assert runs_of(s, "up")[2].caused_by in {run.id for run in runs_of(s, "up")[:2]}


async def test_a_change_above_or_below_counts_and_one_beside_does_not() -> None:
    below = playbook("below", 'alertname="Idle"', target="http/{{ labels.service }}/cache")
    beside = playbook("beside", 'alertname="Beside"', target="http/checkout2")
    s = scene(UP, below, beside)
    await fires(s, "Slow")
    first = await act(s, "up")
    await fires(s, "Idle")
    await fires(s, "Beside")
    assert runs_of(s, "below")[0].caused_by == first.id
    assert runs_of(s, "beside")[0].caused_by == ""


async def test_what_only_observes_changes_nothing_and_causes_nothing() -> None:
    s = scene(playbook("up", 'alertname="Slow"', mode=Mode.OBSERVE), DOWN)
    await fires(s, "Slow")
    s.world.end(runs_of(s, "up")[0], RunState.OBSERVED, effects=0)
    await fires(s, "Idle")
    assert runs_of(s, "down")[0].caused_by == ""
