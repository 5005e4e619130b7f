"""Judging: unknown is never success, and a threshold holds for every value or not at all."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from responder.act.judge import figure, judge, judge_labels, note, poll_interval, wanted
from responder.act.look import look, own_rule
from responder.clients.toolbox import Toolbox
from responder.domain.runs import Check, Sample
from responder.language.matchers import parse_matchers
from responder.playbook.model import Condition, Threshold
from responder.ports.probe import Reading, Value

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NOT_NUMBERS = (math.nan, math.inf, -math.inf)

finite = st.floats(-1e6, 1e6)
bounds = st.dictionaries(
    st.sampled_from(["above", "below", "at_least", "at_most", "equals"]),
    st.floats(-10, 10),
    min_size=1,
    max_size=2,
)


def outcome(
    *values: Value,
    baseline: float | None = None,
    limits: Mapping[Threshold, float | str | bool] | Mapping[Threshold, float] | None = None,
    percent: bool = False,
    improves_by: float | None = None,
    worse_by: float | None = None,
) -> str:
    condition = Condition("c", limits=limits or {}, percent=percent, improves_by=improves_by, worse_by=worse_by)
    return judge(condition, Reading(values), baseline, NOW).outcome


def one_holds(word: str, value: float, bound: float) -> bool:
    return {
        "above": value > bound,
        "below": value < bound,
        "at_least": value >= bound,
        "at_most": value <= bound,
        "equals": value == bound,
    }[word]


@given(limits=bounds, values=st.lists(finite, max_size=3), bad=st.sampled_from(NOT_NUMBERS), at=st.integers(0, 3))
def test_one_value_that_is_no_number_makes_the_condition_unknown(
    limits: dict[Threshold, float | str | bool], values: list[float], bad: float, at: int
) -> None:
    values.insert(at, bad)
    assert outcome(*values, limits=limits) == "unknown"
    assert outcome(*values, limits=limits, improves_by=0.5, baseline=5.0) == "unknown"
    assert outcome(*values, limits=limits, worse_by=0.5, baseline=5.0) == "unknown"


@given(limits=bounds, improves_by=st.none() | st.floats(0.01, 1), baseline=st.none() | finite)
def test_no_data_is_unknown_whatever_is_wanted(
    limits: dict[Threshold, float | str | bool], improves_by: float | None, baseline: float | None
) -> None:
    assert outcome(limits=limits, improves_by=improves_by, baseline=baseline) == "unknown"


@given(limits=bounds, values=st.lists(finite, min_size=1, max_size=4))
@example(limits={"above": 1.0, "below": 5.0}, values=[2.0, 10.0])
def test_every_threshold_must_hold_for_every_value(
    limits: dict[Threshold, float | str | bool], values: list[float]
) -> None:
    holds = all(one_holds(word, value, float(bound)) for word, bound in limits.items() for value in values)
    assert outcome(*values, limits=limits) == ("pass" if holds else "fail")


@pytest.mark.parametrize("no_data", ["unknown", "pass", "fail"])
def test_an_author_may_say_what_no_data_means(no_data: str) -> None:
    condition = Condition("c", limits={"below": 1.0}, no_data=no_data)  # type: ignore[arg-type]  # the parametrised word
    assert judge(condition, Reading(()), None, NOW).outcome == no_data
    # It is about no data alone: a value that is no number stays unknown.
    assert judge(condition, Reading((math.nan,)), None, NOW).outcome == "unknown"


def test_absent_holds_without_data_only() -> None:
    assert outcome(limits={"absent": True}) == "pass"
    assert outcome(0.0, limits={"absent": True}) == "fail"
    assert outcome(math.nan, limits={"absent": True}) == "fail"


@given(value=st.floats(1.5, 1e9, exclude_min=True), bound=st.floats(0, 1))
def test_a_sample_above_a_ratio_is_unknown_against_a_percentage(value: float, bound: float) -> None:
    for word in ("above", "at_least", "below", "at_most"):
        assert outcome(value, limits={word: bound}, percent=True) == "unknown"
    assert outcome(0.01, value, limits={"below": bound}, percent=True) == "unknown"
    assert outcome(value, limits={"below": bound}) == "fail"


def test_a_ratio_up_to_one_and_a_half_is_compared() -> None:
    assert outcome(1.5, limits={"above": 0.9}, percent=True) == "pass"


@given(value=finite, baseline=st.sampled_from([None, *NOT_NUMBERS]))
def test_there_is_no_improvement_on_nothing(value: float, baseline: float | None) -> None:
    assume(not value < 1)
    assert outcome(value, limits={"below": 1.0}, improves_by=0.5, baseline=baseline) == "unknown"
    assert outcome(value, improves_by=0.5, baseline=baseline) == "unknown"


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_of_zero_there_is_no_share_but_what_is_no_better_than_it_has_not_helped(zero: float) -> None:
    directions: list[tuple[Mapping[Threshold, float], float]] = [
        ({}, -0.5),
        ({"below": -1.0}, -0.5),
        ({"above": 0.9}, 0.5),
    ]
    for limits, better in directions:
        assert outcome(better, limits=limits, improves_by=0.3, baseline=zero) == "unknown"
        assert outcome(0.0, limits=limits, improves_by=0.3, baseline=zero) == "fail"
        assert outcome(-better, limits=limits, improves_by=0.3, baseline=zero) == "fail"


BAND: Mapping[Threshold, float] = {"at_least": 2.0, "at_most": 4.0}


@pytest.mark.parametrize(
    ("limits", "before", "after", "wanted"),
    [
        ({"equals": 1.0}, 0.5, 0.2, "fail"),
        ({"equals": 1.0}, 0.5, 0.7, "pass"),
        ({"equals": 1.0}, 2.0, 1.5, "pass"),
        ({"equals": 0.0}, -0.5, -0.9, "fail"),
        ({"equals": 0.0}, 0.0, 0.1, "fail"),
        (BAND, 10.0, 20.0, "fail"),
        (BAND, 10.0, 6.0, "pass"),
        (BAND, 10.0, -3.0, "fail"),
        (BAND, -10.0, 0.0, "pass"),
        (BAND, 3.0, 5.0, "fail"),
    ],
)
def test_where_one_value_or_a_band_is_wanted_what_is_nearer_to_it_is_better(
    limits: Mapping[Threshold, float], before: float, after: float, wanted: str
) -> None:
    assert outcome(after, limits=limits, improves_by=0.3, baseline=before) == wanted


def test_what_reached_the_wanted_value_is_not_worse_than_before() -> None:
    assert outcome(6.0, limits={"equals": 6.0}, worse_by=0.2, baseline=4.0) == "pass"
    assert outcome(3.0, limits=BAND, worse_by=0.2, baseline=10.0) == "pass"
    assert outcome(5.0, limits={"equals": 6.0}, improves_by=0.3, worse_by=0.2, baseline=4.0) == "pass"


@given(limits=bounds, baseline=finite)
def test_what_stays_as_it_was_is_no_improvement(limits: dict[Threshold, float | str | bool], baseline: float) -> None:
    held = outcome(baseline, limits=limits)
    assert outcome(baseline, limits=limits, improves_by=0.0, baseline=baseline) == held


@given(baseline=st.floats(1, 1000), share=st.floats(0.05, 0.95))
def test_an_improvement_counts_in_the_direction_of_the_threshold(baseline: float, share: float) -> None:
    down: Mapping[Threshold, float] = {"below": -1e9}
    up: Mapping[Threshold, float] = {"above": 1e9}
    better = baseline * (1 - share) - 0.01, baseline * (1 + share) + 0.01
    worse = baseline * (1 - share) + 0.01, baseline * (1 + share) - 0.01
    assert outcome(better[0], limits=down, improves_by=share, baseline=baseline) == "pass"
    assert outcome(better[1], limits=up, improves_by=share, baseline=baseline) == "pass"
    assert outcome(worse[0], limits=down, improves_by=share, baseline=baseline) == "fail"
    assert outcome(worse[1], limits=up, improves_by=share, baseline=baseline) == "fail"
    assert outcome(better[1], limits=down, improves_by=share, baseline=baseline) == "fail"


def test_improvement_alone_is_wanted_where_there_is_no_threshold() -> None:
    assert outcome(9.0, improves_by=0.5, baseline=10.0) == "fail"
    assert outcome(4.0, improves_by=0.5, baseline=10.0) == "pass"


def test_not_worse_is_judged_alone_and_beside_a_threshold() -> None:
    assert outcome(10.5, worse_by=0.1, baseline=10.0) == "pass"
    assert outcome(11.5, worse_by=0.1, baseline=10.0) == "fail"
    assert outcome(11.5, limits={"below": 100.0}, worse_by=0.1, baseline=10.0) == "fail"
    assert outcome(8.0, limits={"above": 1.0}, worse_by=0.1, baseline=10.0) == "fail"
    assert outcome(8.0, worse_by=0.1, baseline=None) == "unknown"
    assert outcome(8.0, worse_by=0.1, baseline=math.nan) == "unknown"


@pytest.mark.parametrize(
    ("values", "bound", "expected"),
    [
        (("ok",), "ok", "pass"),
        (("ok", "broken"), "ok", "fail"),
        ((True,), True, "pass"),
        ((False,), True, "fail"),
        (("6",), 6.0, "fail"),
        (("ok", math.nan), "ok", "fail"),
        ((6.0,), "six", "fail"),
    ],
)
def test_texts_and_truth_are_compared_for_equality(values: tuple[Value, ...], bound: Value, expected: str) -> None:
    assert outcome(*values, limits={"equals": bound}) == expected


def test_a_text_cannot_be_above_anything() -> None:
    assert outcome("seven", limits={"above": 6.0}) == "unknown"
    truth: Value = True
    assert outcome(truth, limits={"above": 0.0}) == "unknown"


def test_matchers_hold_only_for_labels_that_match() -> None:
    condition = Condition("c", matchers=parse_matchers('severity="critical"'))
    assert judge_labels(condition, {"severity": "critical"}, NOW).outcome == "pass"
    refused = judge_labels(condition, {"severity": "warning"}, NOW)
    assert refused.outcome == "fail"
    assert 'severity="critical"' in refused.reason


async def test_looking_at_matchers_asks_nobody() -> None:
    condition = Condition("c", matchers=parse_matchers('severity="critical"'))
    nothing = Toolbox({}, {})
    assert (await look(condition, {"labels": {"severity": "critical"}}, nothing, None, NOW)).outcome == "pass"
    assert (await look(condition, {"labels": {"severity": "warning"}}, nothing, None, NOW)).outcome == "fail"


async def test_a_tool_that_is_not_configured_makes_a_condition_unknown() -> None:
    condition = Condition("c", limits={"below": 1.0}, requires=())
    assert (await look(condition, {"labels": {}}, Toolbox({}, {}), None, NOW)).outcome == "unknown"
    assert (await own_rule("up > 1", {"labels": {}}, Toolbox({}, {}), NOW)).outcome == "unknown"


@given(
    samples=st.lists(st.tuples(st.sampled_from(["pass", "fail", "unknown"]), st.integers(1, 40)), max_size=30),
    hold=st.integers(0, 60),
)
def test_for_counts_contiguous_passing_samples_without_gaps(samples: list[tuple[str, int]], hold: int) -> None:
    condition = Condition("c", hold=timedelta(seconds=hold))
    interval, check, at = 10 * SECOND, Check(name="c"), NOW
    since: datetime | None = None
    for number, (verdict, step) in enumerate(samples):
        at += step * SECOND
        check = note(check, Sample(at=at, value=1.0, outcome=verdict), condition, interval)  # type: ignore[arg-type]  # sampled
        if verdict != "pass":
            since = None
        elif since is None or (number and step > 20):
            since = at
        assert check.passing_since == since
        assert check.done == (since is not None and at - since >= hold * SECOND)
        assert check.last is not None
        assert check.last.at == at
    assert (check.first is None) == (not samples)


def test_the_last_determinate_sample_is_remembered_behind_unknown_ones() -> None:
    condition = Condition("c")
    check = note(Check(name="c"), Sample(at=NOW, value=1.0, outcome="fail"), condition, SECOND)
    check = note(check, Sample(at=NOW + SECOND, value=None, outcome="unknown"), condition, SECOND)
    assert check.determinate is not None
    assert check.determinate.outcome == "fail"
    assert not check.done


@given(within=st.integers(1, 86_400), hold=st.integers(0, 86_400))
def test_a_condition_is_looked_at_often_enough_for_its_for(within: int, hold: int) -> None:
    interval = poll_interval([Condition("c", within=within * SECOND, hold=hold * SECOND)])
    assert timedelta(seconds=0.25) <= interval <= 15 * SECOND
    if hold:
        assert interval <= max(hold * SECOND / 4, timedelta(seconds=0.25))


def test_figures_and_wishes_are_written_for_people() -> None:
    assert figure(0.041, percent=True) == "4.1 %"
    assert figure(123456.0) == "1.235e+05"
    assert wanted(Condition("c", limits={"below": 0.01}, percent=True)) == "< 1 %"
    assert wanted(Condition("c", limits={"below": 2.0}, improves_by=0.5)) == "< 2 or better by 50%"
    assert wanted(Condition("c", improves_by=0.5)) == "better by 50%"


def test_a_jump_of_the_clock_starts_for_again() -> None:
    condition = Condition("c", hold=10 * SECOND)
    check = note(Check(name="c"), Sample(at=NOW, value=1.0, outcome="pass"), condition, SECOND)
    jumped_at = NOW + SECOND
    check = note(check, Sample(at=NOW + 2 * SECOND, value=1.0, outcome="pass"), condition, SECOND, jumped_at)
    assert check.passing_since == NOW + 2 * SECOND
    check = note(check, Sample(at=NOW + 3 * SECOND, value=1.0, outcome="pass"), condition, SECOND, jumped_at)
    assert check.passing_since == NOW + 2 * SECOND, "once, and not as long as the clock is doubted"
