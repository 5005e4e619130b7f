"""What is asked of decide when a source shows its alerts: what changed, what needs confirming, and no more."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from responder.domain.alerts import Alert, Shown
from responder.domain.episodes import EpisodeState, Group
from responder.domain.errors import IntakeError
from responder.intake import answers
from responder.intake.formats import look, parse
from responder.intake.reconcile import CONFIRM_AFTER, View, differences
from responder.ports.reconciling import Held

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WAIT = timedelta(minutes=6)
GROUP = Group("am", "a.b", '{}:{a="b"}', {"a": "b"}, "http://am")
OPEN, LATE = EpisodeState.OPEN, EpisodeState.LATE


def held(
    state: EpisodeState = OPEN, *, age: timedelta = SECOND, suppressed: str = "", away: timedelta | None = None
) -> Held:
    """Return an episode whose evidence has this age, and that is missing for ``away``."""
    return Held("e1", "f1", state, NOW - age, suppressed, None if away is None else NOW - away)


def shown(how: Shown) -> Alert:
    return Alert("firing", {"alertname": "Down"}, {"summary": "x"}, NOW, None, "http://prom", "f1" * 8, how)


def view(how: Shown | None, *, settled: bool = True) -> View:
    return View({} if how is None else {"f1": shown(how)}, NOW, settled)


@pytest.mark.parametrize(
    ("one", "how", "chosen"),
    [
        (held(), Shown.ACTIVE, False),
        (held(age=CONFIRM_AFTER + SECOND), Shown.ACTIVE, True),
        (held(suppressed="silenced"), Shown.ACTIVE, True),
        (held(away=SECOND), Shown.ACTIVE, True),
        (held(), Shown.SILENCED, True),
        (held(suppressed="silenced"), Shown.SILENCED, False),
        (held(suppressed="silenced"), Shown.INHIBITED, True),
        (held(suppressed="inhibited", age=CONFIRM_AFTER + SECOND), Shown.INHIBITED, True),
        (held(age=timedelta(days=1)), Shown.UNCLEAR, False),
        (held(), None, True),
        (held(away=WAIT), None, False),
        (held(away=WAIT + SECOND), None, True),
        (held(LATE), Shown.ACTIVE, True),
        (held(LATE, age=timedelta(days=1)), Shown.SILENCED, False),
        (held(LATE), None, False),
        (held(LATE, age=WAIT), None, True),
        (held(age=-SECOND, suppressed="silenced"), Shown.ACTIVE, False),
        (held(age=-SECOND), None, False),
    ],
)
def test_what_is_news_is_decided_anew(one: Held, how: Shown | None, chosen: bool) -> None:  # noqa: FBT001 - the expectation
    assert differences(view(how), [one], WAIT) == ([one] if chosen else [])


@pytest.mark.parametrize("one", [held(), held(away=timedelta(days=1)), held(LATE, age=timedelta(days=1))])
def test_after_a_restart_what_is_missing_means_nothing(one: Held) -> None:
    assert differences(view(None, settled=False), [one], WAIT) == []


def test_changes_go_first_then_what_was_confirmed_longest_ago() -> None:
    aged = [replace(held(age=timedelta(minutes=minutes)), id=f"{minutes}m") for minutes in (6, 9, 8)]
    changed = replace(held(suppressed="silenced"), id="changed")
    found = differences(view(Shown.ACTIVE), [*aged, changed], WAIT)
    assert [one.id for one in found] == ["changed", "9m", "8m", "6m"]


def test_an_answer_survives_the_inbox() -> None:
    alerts = [shown(how) for how in (Shown.ACTIVE, Shown.SILENCED, Shown.MISSING)]
    notice = parse("alertmanager", answers.compose(GROUP, alerts))
    assert list(notice.alerts) == alerts
    assert Group("am", notice.receiver, notice.group_key, notice.group_labels, notice.external_url) == GROUP
    assert (notice.truncated, notice.quarantined, notice.flags) == (0, (), ())


def test_what_cannot_be_stored_is_mended() -> None:
    odd = replace(shown(Shown.ACTIVE), labels={"alertname": "a\x00b"})
    notice = parse("alertmanager", answers.compose(GROUP, [odd]))
    assert notice.alerts[0].labels == {"alertname": "a\N{REPLACEMENT CHARACTER}b"}


def test_nobody_can_send_an_answer_through_the_door() -> None:
    with pytest.raises(IntakeError):
        look("alertmanager", answers.compose(GROUP, [shown(Shown.ACTIVE)]))


def test_a_webhook_cannot_say_what_is_shown() -> None:
    body = json.loads(answers.compose(GROUP, [shown(Shown.SILENCED)])) | {"version": "4"}
    notice = parse("alertmanager", json.dumps(body).encode())
    assert notice.alerts[0].shown is None
