"""Only what is certain about a PromQL expression is said."""

from datetime import timedelta

import pytest

from responder.language.promql import hides_absence, longest_range, same_expression, split_comparison


@pytest.mark.parametrize(
    ("expression", "split"),
    [
        ("up == 0", ("up", "==", "0")),
        ("up==0", ("up", "==", "0")),
        ("(up == 0)", ("up", "==", "0")),
        ("((up) == (0))", ("(up)", "==", "(0)")),
        ("rate(x[5m]) / rate(y[5m]) > 0.05", ("rate(x[5m]) / rate(y[5m])", ">", "0.05")),
        (
            'sum by (job) (rate(x{a=~"b>c",d!="e"}[5m])) >= 1e-3',
            ('sum by (job) (rate(x{a=~"b>c",d!="e"}[5m]))', ">=", "1e-3"),
        ),
        ("sum(x) by (job) > 5", ("sum(x) by (job)", ">", "5")),
        ("x offset 5m > 5", ("x offset 5m", ">", "5")),
        ("x @ end() <= -5", ("x @ end()", "<=", "-5")),
        ("a > b > c", ("a > b", ">", "c")),
        ("count(up == 0) > 2", ("count(up == 0)", ">", "2")),
        ("a > on (job) group_left (x) b", ("a", ">", "on (job) group_left (x) b")),
        ("a # why > not\n  != 3 # end", ("a", "!=", "3")),
        ("5 < x", ("x", ">", "5")),
        ("0 == x", ("x", "==", "0")),
        ("10 * x > 5", ("10 * x", ">", "5")),
        (
            'label_replace(x, "a", "$1 > 2", "b", "(.*)") < 1',
            ('label_replace(x, "a", "$1 > 2", "b", "(.*)")', "<", "1"),
        ),
        ("job:errors:rate5m > 1", ("job:errors:rate5m", ">", "1")),
        ('{"http.requests", a="b"} > 1', ('{"http.requests", a="b"}', ">", "1")),
        ("time() - x > 300", ("time() - x", ">", "300")),
    ],
)
def test_an_expression_is_split_at_its_outermost_comparison(expression: str, split: tuple[str, str, str]) -> None:
    assert split_comparison(expression) == split


@pytest.mark.parametrize(
    "expression",
    [
        "up",
        "absent(up)",
        "absent(up) == 1",
        "a > 1 and b > 2",
        "a > 1 AND b > 2",
        "a > 1 or b",
        "a > 1 unless b",
        "a > bool 1",
        "count(up == 0)",
        "(a > 1) * 2",
        "-(a > 1)",
        '{a="b"}',
        "x{a='>'}",
        "",
        "> 1",
        "a >",
        "(a > 1",
        "a) > 1",
        '"a > 1',
        "# a > 1",
        "(" * 50_000 + "a > 1" + ")" * 50_000,
    ],
)
def test_what_cannot_be_judged_by_its_left_side_is_not_split(expression: str) -> None:
    assert split_comparison(expression) is None


@pytest.mark.parametrize(
    ("expression", "window"),
    [
        ("up", timedelta(0)),
        ("rate(x[5m])", timedelta(minutes=5)),
        ("max_over_time(rate(x[5m])[1h30m:1m])", timedelta(minutes=90)),
        ("rate(x[5m]) / rate(x[1d])", timedelta(days=1)),
        ('x{a="[9d]"} # [8d]', timedelta(0)),
        ("rate(x[ 10m ]) > 1", timedelta(minutes=10)),
        ("rate(x[300])", timedelta(minutes=5)),
        ("rate(x[", timedelta(0)),
        ("rate(x[nonsense])", timedelta(0)),
    ],
)
def test_the_longest_window_is_found(expression: str, window: timedelta) -> None:
    assert longest_range(expression) == window


def test_expressions_are_the_same_but_for_white_space() -> None:
    assert same_expression("sum( rate(x[5m]) )>1", "sum(rate(x[5m]))  >\n1 # ok")
    assert not same_expression('x{a="b c"}', 'x{a="bc"}')
    assert not same_expression("a b", "ab")
    assert not same_expression("x > 1", "x > 2")
    assert same_expression("broken (", "broken (")
    assert not same_expression("broken (", "broken  (")


@pytest.mark.parametrize(
    ("expression", "hides"),
    [
        ("sum(x) or vector(0)", True),
        ("sum(x) OR on() vector(0)", True),
        ("(sum(x) or (vector(0))) > 1", True),
        ("sum(x) or ignoring(a, b) vector(0)", True),
        ("sum(x) or y", False),
        ("vector(1) > 0", False),
        ('x{a="or vector(0)"}', False),
    ],
)
def test_or_vector_is_noticed(expression: str, hides: bool) -> None:  # noqa: FBT001 - a column of the table
    assert hides_absence(expression) is hides
