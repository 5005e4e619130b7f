"""The life of an alert: what Alertmanager does (contracts) must never confuse it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from responder.domain.episodes import EpisodeState
from responder.domain.runs import RunState
from tests.unit.decide.bed import MINUTE, SECOND, START, Scene, alert, playbook, scene

END = START + 10 * MINUTE


async def opened(**rules: object) -> Scene:
    s = scene(playbook(), **rules)
    await s.turn(alert())
    return s


async def test_a_firing_alert_opens_an_episode_an_incident_and_a_run() -> None:
    s = await opened()
    assert s.world.episode.starts_at == START
    assert [incident.severity for incident in s.world.open_incidents()] == ["medium"]
    assert s.world.run.target == "http/checkout"


async def test_a_resolved_alert_closes_its_episode_at_its_own_end() -> None:
    s = await opened()
    await s.turn(alert("resolved", ends_at=END), at=12 * MINUTE)
    (episode,) = s.world.episodes.values()
    assert (episode.state, episode.closed_at, episode.closed_reason) == (EpisodeState.CLOSED, END, "resolved")


async def test_an_end_in_the_future_or_missing_is_the_time_of_the_delivery() -> None:
    for ends_at in (None, START + timedelta(hours=5)):
        s = await opened()
        await s.turn(alert("resolved", ends_at=ends_at), at=3 * MINUTE)
        assert [e.closed_at for e in s.world.episodes.values()] == [START + 3 * MINUTE]


async def test_a_resolved_alert_that_was_never_seen_firing_is_nobodys_business() -> None:
    s = scene(playbook())
    await s.turn(alert("resolved", ends_at=END), at=12 * MINUTE)
    assert not s.world.open_episodes()
    assert not s.world.incidents
    assert not s.world.decisions
    await s.turn(alert("resolved", ends_at=END), at=13 * MINUTE)
    assert len(s.world.episodes) == 1


async def test_a_firing_alert_whose_own_end_has_passed_is_over() -> None:
    s = scene(playbook())
    await s.turn(alert(ends_at=END), at=12 * MINUTE)
    assert not s.world.runs
    assert not s.world.incidents
    s = await opened()
    await s.turn(alert(ends_at=END), at=12 * MINUTE)
    assert [episode.closed_reason for episode in s.world.episodes.values()] == ["resolved"]


async def test_a_firing_alert_may_say_how_long_it_is_vouched_for_by_a_clock_that_is_behind() -> None:
    s = scene(playbook())
    await s.turn(alert(ends_at=START + 11 * MINUTE), at=12 * MINUTE)
    assert len(s.world.runs) == 1


@pytest.mark.parametrize("together", [True, False])
async def test_a_firing_alert_that_its_own_end_overtook_is_late(together: bool) -> None:  # noqa: FBT001 - a parameter
    s = scene(playbook())
    over, firing = alert("resolved", ends_at=END), alert()
    for alerts in ([over, firing],) if together else ([over], [firing]):
        await s.turn(*alerts, at=12 * MINUTE)
    assert [episode.state for episode in s.world.episodes.values()] == [EpisodeState.LATE]
    assert not s.world.runs
    assert not s.world.incidents
    await s.turn(alert(starts_at=END + MINUTE), at=13 * MINUTE)
    assert len(s.world.runs) == 1


async def test_an_overtaken_firing_alert_that_is_seen_again_much_later_does_fire() -> None:
    s = scene(playbook())
    await s.turn(alert("resolved", ends_at=END), alert(), at=12 * MINUTE)
    await s.turn(alert(), at=32 * MINUTE)
    assert len(s.world.open_incidents()) == 1
    assert len(s.world.runs) == 1


async def test_copies_from_peers_change_nothing_but_the_evidence() -> None:
    s = await opened()
    told = len(s.world.told)
    await s.turn(alert(), at=15 * SECOND, external_url="http://am-2")
    await s.turn(alert(), at=16 * SECOND)
    assert s.world.episode.evidence_at == START + 16 * SECOND
    assert len(s.world.runs) == 1
    assert len(s.world.told) == told


async def test_absence_from_a_payload_means_nothing() -> None:
    s = await opened()
    await s.turn(alert(service="other"), at=5 * MINUTE)
    assert len(s.world.open_episodes()) == 2


async def test_a_retry_that_still_says_firing_after_the_end_is_late_and_starts_nothing() -> None:
    s = await opened()
    s.world.end(s.world.run, RunState.VERIFIED)
    await s.turn(alert("resolved", ends_at=END), at=11 * MINUTE)
    await s.turn(alert(), at=12 * MINUTE)
    await s.turn(alert(), at=13 * MINUTE)
    assert s.world.episode.state is EpisodeState.LATE
    assert s.world.verdicts()[-1] == "late"
    assert not s.world.open_incidents()
    assert len(s.world.runs) == 1


async def test_a_late_alert_that_is_heard_again_after_a_group_interval_fires() -> None:
    s = await opened()
    await s.turn(alert("resolved", ends_at=END), at=11 * MINUTE)
    await s.turn(alert(), at=12 * MINUTE)
    first = s.world.episode.id
    await s.turn(alert(), at=12 * MINUTE + timedelta(minutes=5, seconds=59))
    assert s.world.episode.state is EpisodeState.LATE
    await s.turn(alert(), at=12 * MINUTE + timedelta(minutes=6))
    assert (s.world.episode.state, s.world.episode.id) == (EpisodeState.OPEN, first)
    assert len(s.world.open_incidents()) == 1


async def test_a_late_alert_resolves() -> None:
    s = await opened()
    await s.turn(alert("resolved", ends_at=END), at=11 * MINUTE)
    await s.turn(alert(), at=12 * MINUTE)
    await s.turn(alert("resolved", ends_at=END), at=13 * MINUTE)
    assert [e.state for e in s.world.episodes.values()] == [EpisodeState.CLOSED]


async def test_a_new_start_after_the_end_is_a_new_episode() -> None:
    s = await opened()
    s.world.end(s.world.run, RunState.VERIFIED)
    await s.turn(alert("resolved", ends_at=END), at=11 * MINUTE)
    await s.turn(alert(starts_at=END + MINUTE), at=12 * MINUTE)
    assert len(s.world.episodes) == 2
    assert len(s.world.runs) == 2
    assert len(s.world.open_incidents()) == 1


async def test_a_new_start_settles_the_doubt_about_a_late_alert() -> None:
    s = await opened()
    await s.turn(alert("resolved", ends_at=END), at=11 * MINUTE)
    await s.turn(alert(), at=12 * MINUTE)
    await s.turn(alert(starts_at=END + MINUTE), at=13 * MINUTE)
    assert [e.starts_at for e in s.world.open_episodes()] == [END + MINUTE]
    assert len(s.world.episodes) == 2


async def test_a_later_start_in_an_open_episode_is_a_hidden_flap() -> None:
    s = await opened()
    s.world.end(s.world.run, RunState.VERIFIED)
    await s.turn(alert(starts_at=START + 67 * SECOND), at=2 * MINUTE)
    closed = [e for e in s.world.episodes.values() if e.state is EpisodeState.CLOSED]
    assert [e.closed_reason for e in closed] == ["flap"]
    assert s.world.episode.starts_at == START + 67 * SECOND
    assert len(s.world.episode.flaps) == 3
    assert len(s.world.open_incidents()) == 1
    assert len(s.world.runs) == 2


@pytest.mark.parametrize("moved", [SECOND, 15 * SECOND, 5 * MINUTE])
@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.ROLLED_BACK])
async def test_a_moved_start_is_no_new_alert_to_a_playbook_that_a_person_stopped(
    state: RunState, moved: timedelta
) -> None:
    s = await opened()
    s.world.runs[s.world.run.id] = replace(s.world.run, stop_by="ana")
    s.world.end(s.world.run, state)
    for turn in range(1, 5):
        await s.turn(alert(starts_at=START + turn * moved), at=turn * 5 * MINUTE)
    assert len(s.world.episodes) == len(s.world.runs) == 1
    assert s.world.episode.starts_at == START + 4 * moved

    await s.turn(alert("resolved", ends_at=START + 21 * MINUTE), at=21 * MINUTE)
    await s.turn(alert(starts_at=START + 22 * MINUTE), at=23 * MINUTE)
    assert len(s.world.runs) == 2, "it has ended, and is another one now"


async def test_a_moved_start_is_a_new_alert_to_what_has_helped_and_stays_by_a_persons_word() -> None:
    s = await opened()
    s.world.runs[s.world.run.id] = replace(s.world.run, stop_by="ana", kept_at=START)
    s.world.end(s.world.run, RunState.VERIFIED)
    await s.turn(alert(starts_at=START + 67 * SECOND), at=2 * MINUTE)
    assert len(s.world.episodes) == len(s.world.runs) == 2


async def test_twins_that_start_up_are_one_episode() -> None:
    s = scene()
    await s.turn(alert())
    await s.turn(alert(starts_at=START + 110 * SECOND), at=2 * MINUTE)
    await s.turn(alert(), at=3 * MINUTE)
    await s.turn(alert(starts_at=START + 110 * SECOND), at=4 * MINUTE)
    assert len(s.world.episodes) == 1


async def test_twins_stay_one_episode_once_a_run_has_begun() -> None:
    s = scene()
    twin = alert(starts_at=START + 110 * SECOND)
    await s.turn(alert())
    await s.turn(twin, at=2 * MINUTE)
    await s.turn(alert(), at=3 * MINUTE)
    s.shelf.playbooks = (playbook(),)
    await s.turn(alert(), at=4 * MINUTE)
    await s.turn(twin, at=5 * MINUTE)
    assert len(s.world.episodes) == len(s.world.runs) == 1


async def test_an_alert_that_came_and_went_before_it_was_decided_starts_nothing() -> None:
    s = scene(playbook())
    await s.turn(alert(), alert("resolved", ends_at=START))
    assert not s.world.runs
    assert not s.world.open_incidents()


async def test_more_than_two_minutes_later_it_was_a_flap_even_without_a_run() -> None:
    s = scene()
    await s.turn(alert())
    await s.turn(alert(starts_at=START + 121 * SECOND), at=3 * MINUTE)
    assert len(s.world.episodes) == 2


@pytest.mark.parametrize("first", [0, 1])
async def test_a_twin_that_moves_the_start_by_milliseconds_is_no_flap_even_after_a_run(first: int) -> None:
    starts = [START, START - timedelta(milliseconds=74)]
    s = scene(playbook())
    for turn in range(4):
        await s.turn(alert(starts_at=starts[(turn + first) % 2]), at=turn * MINUTE)
    assert len(s.world.episodes) == 1
    assert len(s.world.runs) == 1


async def test_the_end_of_an_earlier_life_does_not_close_the_present_one() -> None:
    s = scene()
    await s.turn(alert(starts_at=START + 30 * MINUTE), at=31 * MINUTE)
    await s.turn(alert("resolved", starts_at=START, ends_at=END), at=32 * MINUTE)
    assert s.world.episode.state is EpisodeState.OPEN


async def test_what_nothing_confirms_is_closed_after_its_time_and_reopens_when_heard_again() -> None:
    s = await opened(episode_ttl=timedelta(hours=1))
    s.world.end(s.world.run, RunState.VERIFIED)
    await s.wait(timedelta(minutes=59))
    assert s.world.open_episodes()
    await s.wait(timedelta(minutes=2))
    assert [e.closed_reason for e in s.world.episodes.values()] == ["expired"]
    assert not s.world.open_incidents()
    await s.turn(alert(), at=timedelta(hours=2))
    assert len(s.world.open_episodes()) == 1
    assert len(s.world.episodes) == len(s.world.runs) == 1


@pytest.mark.parametrize(
    "began", [timedelta(minutes=30), timedelta(minutes=90)], ids=["before it was closed", "after it was closed"]
)
async def test_what_was_closed_by_its_time_and_began_anew_is_acted_on_anew(began: timedelta) -> None:
    s = await opened(episode_ttl=timedelta(hours=1))
    s.world.end(s.world.run, RunState.VERIFIED)
    await s.wait(timedelta(minutes=61))
    assert not s.world.open_episodes()
    await s.turn(alert(starts_at=START + began), at=timedelta(hours=2))
    assert [one.starts_at for one in s.world.open_episodes()] == [START + began]
    assert len(s.world.episodes) == len(s.world.runs) == 2


@pytest.mark.parametrize("moved", [timedelta(minutes=2), -timedelta(minutes=2)])
async def test_a_start_up_twin_of_what_was_closed_by_its_time_goes_on(moved: timedelta) -> None:
    s = scene(episode_ttl=timedelta(hours=1))
    await s.turn(alert())
    await s.wait(timedelta(minutes=61))
    await s.turn(alert(starts_at=START + moved), at=timedelta(hours=2))
    assert len(s.world.open_episodes()) == len(s.world.episodes) == 1


async def test_evidence_is_as_old_as_the_delivery_not_as_its_processing() -> None:
    s = scene()
    s.world.deliver(alert())
    await s.wait(timedelta(hours=1))
    assert s.world.episode.evidence_at == START


async def test_changed_annotations_are_kept() -> None:
    s = await opened()
    await s.turn(alert(annotations={"summary": "now 7"}), at=MINUTE)
    assert s.world.episode.annotations == {"summary": "now 7"}


async def test_the_same_fingerprint_from_another_source_is_another_alert() -> None:
    s = await opened()
    await s.turn(alert(), source="other", at=MINUTE)
    assert len(s.world.open_episodes()) == 2


async def test_an_alert_without_a_name_and_a_truncated_group_are_decided_all_the_same() -> None:
    s = scene()
    await s.turn(alert(alertname=""), truncated=2)
    assert s.world.verdicts() == ["no_match"]
