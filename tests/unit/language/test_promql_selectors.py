"""What an expression reads, and from when."""

from datetime import timedelta

import pytest

from responder.language.promql_selectors import Selector, selectors


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("up", [Selector("up", "up")]),
        ('sum by (le) (up{a="b"})', [Selector('up{a="b"}', "up")]),
        ("sum(x) by (job) / on (job) group_left (z) y", [Selector("x", "x"), Selector("y", "y")]),
        ("a > 1 and {__name__=~'q.*'}", [Selector("a", "a"), Selector("{__name__=~'q.*'}", "")]),
        ("time() - x > bool 300", [Selector("x", "x")]),
        ("rate(x[5m])", [Selector("x", "x", seconds(300), ranged=True)]),
        ("x offset 1m", [Selector("x", "x", seconds(60), past=True)]),
        ("x offset -1m", [Selector("x", "x", seconds(-60), past=True)]),
        ("rate(x[5m] offset 1m)", [Selector("x", "x", seconds(360), ranged=True, past=True)]),
        ("x[1h:]", [Selector("x", "x", seconds(3600))]),
        ("max_over_time(rate(x[5m])[1h:1m]) > y", [Selector("x", "x", seconds(3900), ranged=True), Selector("y", "y")]),
        ("(x + y) [1m:1s] - z", [Selector("x", "x", seconds(60)), Selector("y", "y", seconds(60)), Selector("z", "z")]),
        ("x @ 5 + y", [Selector("x", "x", fixed=True), Selector("y", "y")]),
        ("sum(x @ end())", [Selector("x", "x", fixed=True)]),
        ("x @ -1.5 offset 1m + y", [Selector("x", "x", seconds(60), past=True, fixed=True), Selector("y", "y")]),
        ("vector(1) > 0", []),
        ("", []),
    ],
)
def test_the_selectors_of_an_expression_are_found(expression: str, found: list[Selector]) -> None:
    assert selectors(expression) == tuple(found)


@pytest.mark.parametrize("expression", ["sum(", "x ~ y", "x[86399999999999] offset 86399999999999", 'x{a="'])
def test_what_cannot_be_read_is_declined(expression: str) -> None:
    assert selectors(expression) is None
