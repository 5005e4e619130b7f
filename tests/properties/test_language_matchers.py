"""A matcher prints so that it reads the same, and the index agrees with trying every matcher."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from responder.language.index import MatcherIndex
from responder.language.matchers import Matcher, parse_matcher, parse_matchers

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["", "x", "y", "xy", "x.y", "yx", "x\ny", "日", "xyz"])
EXPRESSIONS = st.sampled_from(
    [
        *("", "x", "x|y", "(x|y)", "(?:x|)", "x.*", ".*", ".+", "^x", "xy*", "xy?z", "xy{0,1}", "x[yz]|y", "(?i)XY"),
        *("(x)|(y.)", "x\\.y", "x|y.*|", "x$|y", "[^x].*", "x.?y", "(?s)x.y", "\\x{65e5}", "(?:x|y)y?", "x+y*|日"),
        *("()", "日+"),
    ]
)
MATCHERS = st.one_of(
    st.builds(Matcher, NAMES, st.sampled_from(["=", "!="]), VALUES),
    st.builds(Matcher, NAMES, st.sampled_from(["=~", "!~"]), EXPRESSIONS),
)
ALTERNATIVES = st.lists(st.lists(MATCHERS, max_size=3), max_size=3)
LABELS = st.dictionaries(NAMES, VALUES)


@given(st.lists(ALTERNATIVES, max_size=8), st.lists(LABELS, min_size=1, max_size=4))
def test_the_index_equals_the_linear_scan(entries: list[list[list[Matcher]]], alerts: list[dict[str, str]]) -> None:
    index = MatcherIndex(enumerate(entries))
    for labels in alerts:
        expected = [
            number
            for number, alternatives in enumerate(entries)
            if any(all(matcher.matches(labels) for matcher in matchers) for matchers in alternatives)
        ]
        assert index.find(labels) == expected


@given(st.lists(MATCHERS, min_size=40, max_size=60), LABELS)
def test_the_index_equals_the_linear_scan_when_many_share_an_equality(
    matchers: list[Matcher], labels: dict[str, str]
) -> None:
    common = Matcher("d", "=", "same")
    index = MatcherIndex((number, [[common, one]]) for number, one in enumerate(matchers))
    expected = [number for number, one in enumerate(matchers) if one.matches(labels)]
    assert index.find({**labels, "d": "same"}) == expected
    assert index.find({**labels, "d": "other"}) == []


@given(st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() or text.isascii()), st.text(max_size=20))
def test_a_printed_matcher_reads_the_same(name: str, value: str) -> None:
    matcher = Matcher(name, "=", value)
    if any("\ud800" <= character <= "\udfff" for character in name + value):
        return
    assert parse_matcher(str(matcher)) == matcher


@given(st.text(alphabet="ab=~!{},\"'\\ \n`(|)*日\ud800u0", max_size=20) | st.text(max_size=20))
def test_any_text_is_matchers_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        for matcher in parse_matchers(text):
            assert parse_matcher(str(matcher)) == matcher
            matcher.matches({matcher.name: matcher.value})
