"""Whatever the expression, PromQL's helpers answer, and a split loses nothing."""

from hypothesis import given
from hypothesis import strategies as st

from responder.language.promql import hides_absence, longest_range, same_expression, split_comparison
from responder.language.promql_selectors import selectors

PIECES = st.sampled_from(
    [
        "up",
        "x",
        "sum",
        "(",
        ")",
        "{",
        "}",
        "[5m]",
        "[1h:]",
        " offset 5m",
        " @ ",
        " by ",
        " > ",
        "==",
        " and ",
        " or ",
        "vector(0)",
        "bool ",
        '"a>b"',
        "1",
        "# c\n",
        " ",
        "on (a) ",
        "-",
    ]
)


@given(st.text() | st.lists(PIECES, max_size=15).map("".join))
def test_any_expression_gets_an_answer(expression: str) -> None:
    longest_range(expression)
    hides_absence(expression)
    for selector in selectors(expression) or ():
        assert selector.name in expression
    assert same_expression(expression, expression)
    split = split_comparison(expression)
    if split is not None:
        left, operator, right = split
        assert left
        assert right
        assert split_comparison(f"{left} {operator} {right}") == split
