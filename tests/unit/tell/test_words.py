"""Instants and what lasts until them, as messages say them."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from responder.domain.notification import Account
from responder.domain.runs import RunState
from responder.domain.verdicts import Verdict
from responder.tell.words import until
from tests.unit.tell.stories import (
    RAN,
    STORIES,
    Story,
    _held,
    account,
    at,
    decision,
    run,
    sample,
    verifying,
)


@pytest.mark.parametrize(
    ("seconds", "text"), [(7, "14:02:07 UTC"), (299, "14:06:59 UTC"), (300, "14:07 UTC"), (3600, "15:02 UTC")]
)
def test_what_lasts_less_than_five_minutes_ends_at_a_second(seconds: float, text: str) -> None:
    assert until(at(seconds), at(0)) == text


def test_what_began_nobody_knows_when_ends_at_a_minute() -> None:
    assert until(at(7), None) == "14:02 UTC"


def asking(seconds: float) -> Account:
    one = STORIES["waiting"].account
    asked = replace(one.approvals[0], expires_at=at(3 + seconds))
    return replace(one, approvals=(asked,))


def checking(seconds: float) -> Account:
    known = verifying(sample(12, 0.03, "fail"), until=10 + seconds)
    return account(runs=(run(RunState.VERIFYING, progress=known),), decisions=(RAN,))


def lending(seconds: float) -> Account:
    known = _held().model_copy(update={"keep_until": at(192 + seconds)})
    return account(runs=(run(RunState.KEPT, progress=known, kept_at=at(192)),), decisions=(RAN,))


def cooling(seconds: float) -> Account:
    return account(decisions=(decision(Verdict.COOLDOWN, at=at(2), retry_at=at(2 + seconds)),))


def two_targets(seconds: float) -> Account:
    one = checking(seconds)
    return replace(one, runs=(*one.runs, run(RunState.CHECKING, id="r2", target="http/cart")))


def everything(one: Account) -> str:
    news = Story(one, at(30)).told()
    lines, entries = (one.text for one in news.lines), (one.text for one in news.entries)
    return "\n".join([dict(news.facts)["time"], news.why, news.ahead, *lines, *entries])


@pytest.mark.parametrize(
    ("told", "second", "minute"),
    [
        (asking, "14:03:48 UTC", "14:09 UTC"),
        (checking, "14:03:55 UTC", "14:09 UTC"),
        (lending, "14:06:57 UTC", "14:12 UTC"),
        (cooling, "14:03:47 UTC", "14:09 UTC"),
        (two_targets, "14:03:55 UTC", "14:09 UTC"),
    ],
)
def test_a_short_window_is_told_to_its_second_and_a_long_one_to_its_minute(
    told: Callable[[float], Account], second: str, minute: str
) -> None:
    short, long = everything(told(105)), everything(told(420))
    assert second in short
    assert f"{second[:5]} UTC" not in short, "nowhere by the minute"
    assert minute in long
