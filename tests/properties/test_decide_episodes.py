"""Whatever Alertmanager repeats, delays and reorders: one alert has one open episode, and each playbook acts once."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.domain.episodes import EpisodeState
from responder.domain.runs import RunState
from tests.unit.decide.bed import MINUTE, START, Scene, alert, playbook, scene

END = START + 20 * MINUTE
JITTER = timedelta(milliseconds=74)

Status = Literal["firing", "resolved"]
deliveries = st.tuples(
    st.sampled_from(["firing", "firing", "resolved"]),
    st.sampled_from([timedelta(), -JITTER]),
    st.sampled_from(["a", "b"]),
    st.integers(1, 3),
)
endings = st.sampled_from(
    [RunState.VERIFIED, RunState.ROLLED_BACK, RunState.SKIPPED, RunState.FAILED, RunState.UNKNOWN, RunState.CANCELLED]
)
gaps = st.integers(0, 500).map(lambda seconds: timedelta(seconds=seconds))
events = st.lists(st.tuples(gaps, st.one_of(deliveries, endings, st.none())), max_size=25)


@pytest.mark.promise(2)
@settings(max_examples=200, deadline=None)
@given(events)
def test_any_order_of_one_episode_yields_one_run_for_each_playbook_and_target(
    happenings: list[tuple[timedelta, object]],
) -> None:
    """A run that was skipped changed nothing and may be followed by another one."""
    s = scene(playbook("first", priority=1), playbook("second", priority=2))
    asyncio.run(_play(s, happenings))
    effective = Counter(
        (run.playbook, run.target) for run in s.world.runs.values() if run.state is not RunState.SKIPPED
    )
    assert all(count == 1 for count in effective.values())
    assert len(s.world.episodes) <= 1
    assert len(s.world.open_incidents()) <= 1
    unfinished = [run for run in s.world.runs.values() if not run.state.final]
    assert len(unfinished) <= 1


async def _play(s: Scene, happenings: list[tuple[timedelta, object]]) -> None:
    for gap, what in happenings:
        s.world.now += gap
        if isinstance(what, RunState):
            for run in [one for one in s.world.runs.values() if not one.state.final]:
                handed_on = what in (RunState.ROLLED_BACK, RunState.SKIPPED)
                s.world.end(run, what, effects=int(what is not RunState.SKIPPED), after=handed_on)
        elif isinstance(what, tuple):
            status, moved, receiver, copies = what
            ends_at = END if status == "resolved" else None
            one = alert(status, starts_at=START + moved, ends_at=ends_at)
            for _ in range(copies):
                s.world.deliver(one, receiver=receiver)
        await s.decider.turn()


lives = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["firing", "resolved"]),
        st.sampled_from(["checkout", "cart"]),
        st.sampled_from(["one", "two"]),
        gaps,
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(lives)
def test_any_history_leaves_one_current_episode_and_incidents_that_match(
    history: list[tuple[int, Status, str, str, timedelta]],
) -> None:
    """Several lives of two alerts, delivered in any order under changing group keys (the bed holds the unique keys)."""
    s = scene(playbook())
    asyncio.run(_live(s, history))
    for incident in s.world.incidents.values():
        members = [e for e in s.world.open_episodes() if e.incident_id == incident.id]
        working = [r for r in s.world.runs.values() if r.incident_id == incident.id and not r.state.final]
        assert incident.open == bool(members or working or incident.needs_person)
    for episode in s.world.open_episodes():
        assert s.world.incidents[episode.incident_id].open
    for episode in s.world.episodes.values():
        assert (episode.closed_at is None) == (episode.state is EpisodeState.OPEN)


async def _live(s: Scene, history: list[tuple[int, Status, str, str, timedelta]]) -> None:
    for life, status, service, group_key, gap in history:
        s.world.now += gap
        starts = START + life * 10 * MINUTE
        ends = starts + 5 * MINUTE if status == "resolved" else None
        one = alert(status, starts_at=starts, ends_at=ends, service=service)
        await s.turn(one, group_key=group_key)


@settings(max_examples=100, deadline=None)
@given(st.permutations(list(range(6))), st.integers(1, 6))
def test_how_alerts_are_packed_into_deliveries_makes_no_difference(order: list[int], size: int) -> None:
    """Six pods of one service end in one run, whichever way they arrive."""
    s = scene(playbook())

    async def play() -> None:
        for first in range(0, len(order), size):
            s.world.deliver(*(alert(pod=str(pod)) for pod in order[first : first + size]))
        await s.decider.turn()

    asyncio.run(play())
    assert s.world.served[s.world.run.id] == set(s.world.episodes)
    assert len(s.world.episodes) == 6


notices = st.lists(st.sampled_from(["firing", "resolved"]), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(notices, st.integers(0, 20)), max_size=8), st.sampled_from([timedelta(), MINUTE]))
def test_however_an_end_overtakes_its_beginning_nothing_is_done_about_it_afterwards(
    packed: list[tuple[list[Status], int]], length: timedelta
) -> None:
    """The notices of one life, in any order and packed into deliveries anyhow, sent again within a group interval."""
    s = scene(playbook())

    async def play() -> None:
        ended = False
        s.world.now = START + 5 * MINUTE
        for statuses, gap in packed:
            s.world.now += timedelta(seconds=gap)
            before = len(s.world.runs)
            await s.turn(
                *(alert(status, ends_at=START + length if status == "resolved" else None) for status in statuses)
            )
            ended = ended or "resolved" in statuses
            assert not ended or len(s.world.runs) == before
            assert ended != bool(s.world.open_episodes())

    asyncio.run(play())
    assert len(s.world.episodes) <= 1
    assert len(s.world.runs) <= 1
