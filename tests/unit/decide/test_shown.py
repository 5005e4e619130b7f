"""What a sender's own API shows, on the straight line: it silences, releases, confirms, settles and closes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from responder.domain.alerts import Severity, Shown
from responder.domain.episodes import Episode, EpisodeState
from responder.domain.runs import RunState
from tests.unit.decide.bed import MINUTE, SECOND, START, Scene, alert, playbook, scene

WAIT = 6 * MINUTE
"""A group interval of five minutes and one more."""


def asking(**rules: object) -> Scene:
    return scene(playbook(), asked={"am"}, **rules)


async def show(s: Scene, shown: Shown, *, at: timedelta) -> Episode:
    """Let the sender be asked ``at`` an instant; returns the only episode."""
    await s.turn(replace(alert(), shown=shown), at=at)
    (episode,) = s.world.episodes.values()
    return episode


async def opened(s: Scene) -> Scene:
    """Let the alert open, and its run be refused."""
    await s.turn(alert())
    s.world.end(s.world.run, RunState.SKIPPED, effects=0)
    return s


@pytest.mark.parametrize(("shown", "verdict"), [(Shown.SILENCED, "silenced"), (Shown.INHIBITED, "inhibited")])
async def test_a_suppressed_alert_stays_open_and_starts_nothing_until_it_is_active_again(
    shown: Shown, verdict: str
) -> None:
    s = await opened(asking())
    episode = await show(s, shown, at=MINUTE)
    assert (episode.state, episode.suppressed, episode.evidence_at) == (EpisodeState.OPEN, verdict, START + MINUTE)
    assert s.world.last().verdict == verdict
    assert s.world.last().retry_at is not None
    await s.wait(6 * MINUTE)
    assert len(s.world.runs) == 1

    episode = await show(s, Shown.ACTIVE, at=10 * MINUTE)
    assert episode.suppressed == ""
    assert len(s.world.runs) == 2


async def test_a_webhook_says_that_the_silence_is_over_as_well() -> None:
    s = await opened(asking())
    await show(s, Shown.SILENCED, at=MINUTE)
    await s.turn(alert(), at=2 * MINUTE)
    assert s.world.episode.suppressed == ""
    assert len(s.world.runs) == 2


async def test_marks_of_a_source_that_is_no_longer_asked_mean_nothing() -> None:
    s = await opened(asking())
    await show(s, Shown.SILENCED, at=MINUTE)
    s.rules = replace(s.rules, asked=())
    await s.wait(6 * MINUTE)
    assert len(s.world.runs) == 2


async def test_a_missing_alert_closes_when_it_stays_away_for_longer_than_the_wait() -> None:
    s = await opened(asking())
    episode = await show(s, Shown.MISSING, at=MINUTE)
    assert (episode.state, episode.missing_since) == (EpisodeState.OPEN, START + MINUTE)
    assert s.world.last().verdict == "not_active"
    episode = await show(s, Shown.MISSING, at=MINUTE + WAIT)
    assert episode.state is EpisodeState.OPEN
    episode = await show(s, Shown.MISSING, at=MINUTE + WAIT + SECOND)
    assert (episode.state, episode.closed_reason, episode.closed_at) == (
        EpisodeState.CLOSED,
        "vanished",
        START + MINUTE,
    )
    assert s.world.open_incidents() == []


async def test_an_alert_that_is_back_has_not_been_away() -> None:
    s = await opened(asking())
    await show(s, Shown.MISSING, at=MINUTE)
    await show(s, Shown.ACTIVE, at=2 * MINUTE)
    episode = await show(s, Shown.MISSING, at=MINUTE + WAIT + SECOND)
    assert (episode.state, episode.missing_since) == (EpisodeState.OPEN, START + MINUTE + WAIT + SECOND)


async def test_one_that_vanished_and_is_heard_again_goes_on() -> None:
    s = await opened(asking())
    await show(s, Shown.MISSING, at=MINUTE)
    await show(s, Shown.MISSING, at=MINUTE + WAIT + SECOND)
    await s.turn(alert(), at=10 * MINUTE)
    assert s.world.episode.state is EpisodeState.OPEN


async def test_one_that_vanished_and_began_anew_is_acted_on_anew() -> None:
    s = await opened(asking())
    s.world.end(s.world.run, RunState.VERIFIED)
    await show(s, Shown.MISSING, at=MINUTE)
    await show(s, Shown.MISSING, at=MINUTE + WAIT + SECOND)
    week = timedelta(days=7)
    await s.turn(alert(starts_at=START + week), at=week + MINUTE)
    assert [one.starts_at for one in s.world.open_episodes()] == [START + week]
    assert len(s.world.episodes) == len(s.world.runs) == 2


async def test_what_was_heard_since_goes_before_what_was_seen() -> None:
    s = await opened(asking())
    await s.turn(alert(), at=2 * MINUTE)
    s.world.now = START + MINUTE
    s.world.deliver(replace(alert(), shown=Shown.MISSING))
    await s.turn(at=3 * MINUTE)
    assert s.world.episode.missing_since is None


@pytest.mark.parametrize("shown", [Shown.MISSING, Shown.SILENCED, Shown.INHIBITED, Shown.UNCLEAR])
async def test_what_is_not_active_opens_nothing(shown: Shown) -> None:
    s = asking()
    await s.turn(replace(alert(), shown=shown))
    assert not s.world.episodes


async def late(s: Scene) -> Scene:
    await opened(s)
    await s.turn(alert("resolved", ends_at=START + MINUTE), at=2 * MINUTE)
    await s.turn(alert(), at=3 * MINUTE)
    assert s.world.episode.state is EpisodeState.LATE
    return s


async def test_a_late_one_that_is_active_opens_again_at_once() -> None:
    s = await late(asking())
    episode = await show(s, Shown.ACTIVE, at=3 * MINUTE + SECOND)
    assert episode.state is EpisodeState.OPEN
    assert len(s.world.runs) == 2


@pytest.mark.parametrize("shown", [Shown.SILENCED, Shown.INHIBITED, Shown.UNCLEAR])
async def test_a_late_one_that_is_not_active_stays_late(shown: Shown) -> None:
    s = await late(asking())
    assert (await show(s, shown, at=30 * MINUTE)).state is EpisodeState.LATE


async def test_a_late_one_that_stays_away_was_a_delayed_copy() -> None:
    s = await late(asking())
    assert (await show(s, Shown.MISSING, at=4 * MINUTE)).state is EpisodeState.LATE
    episode = await show(s, Shown.MISSING, at=3 * MINUTE + WAIT)
    assert (episode.state, episode.closed_reason) == (EpisodeState.CLOSED, "resolved")


async def test_a_group_that_was_cut_short_is_remembered_where_the_rest_can_be_asked_for() -> None:
    for asked, expected in (({"am"}, 1), ((), 0)):
        s = scene(playbook(), asked=asked)
        await s.turn(alert("resolved"), truncated=2, group_key="{}:{a}")
        assert [one.group_key for one in s.world.truncated] == ["{}:{a}"] * expected


async def test_nobody_is_called_for_what_somebody_silenced() -> None:
    s = asking(severity_of=lambda _: Severity.CRITICAL, page="pagerduty:p")
    await opened(s)
    s.world.holds.clear()
    await show(s, Shown.SILENCED, at=MINUTE)
    assert s.world.holds == {}
    await show(s, Shown.ACTIVE, at=2 * MINUTE)
    assert len(s.world.holds) == 1


async def test_how_quick_we_are_is_measured_by_what_senders_say_by_themselves() -> None:
    s = await opened(asking())
    before = len(s.facts.named("delivery_decided"))
    await show(s, Shown.ACTIVE, at=MINUTE)
    assert len(s.facts.named("delivery_decided")) == before == 1
