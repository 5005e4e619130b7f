"""Matchers survive printing, never raise anything but ValueError, and the index finds what a scan finds."""

from hypothesis import given
from hypothesis import strategies as st

from responder.language.index import MatcherIndex
from responder.language.matchers import Matcher, parse_matcher, parse_matchers

NAMES = st.sampled_from(["alertname", "severity"])
VALUES = st.sampled_from(["", "a", "ab", "abc", "a.c", "a\nc", "b", "日", "warning", "critical", "kube-system"])
EXPRESSIONS = st.sampled_from(
    [
        "",
        "a",
        "a|b",
        "ab*",
        "ab?c",
        "ab{0,1}",
        "^ab",
        "(a|b)c?",
        "[ab]+",
        ".*",
        ".+",
        "a.*|b.*",
        "kube-.*",
        "(?i)A",
        "a|",
        "(a)|b",
        "(?:a|)",
        "a\\.c",
        "a$|b",
        "[^a].*",
        "(?s)a.c",
        "\\x{65e5}",
        "a+b*|日",
    ]
)
MATCHERS = st.builds(Matcher, NAMES, st.sampled_from(["=", "!="]), VALUES) | st.builds(
    Matcher, NAMES, st.sampled_from(["=~", "!~"]), EXPRESSIONS
)
ENTRIES = st.lists(st.lists(st.lists(MATCHERS, max_size=4), max_size=3), max_size=12)
LABELS = st.dictionaries(NAMES, VALUES)


@given(
    st.text(min_size=1).filter(lambda text: text.isprintable() or "\n" in text),
    st.sampled_from(["=", "!="]),
    st.text(st.characters(codec="utf-8")),
)
def test_the_canonical_form_parses_to_the_same_matcher(name: str, op: str, value: str) -> None:
    matcher = Matcher(name, op, value)  # type: ignore[arg-type]  # sampled_from widens the literal
    assert parse_matcher(str(matcher)) == matcher


@given(st.text() | st.lists(st.sampled_from("ab=~!{},\"\\ \n'`.(|)日"), max_size=20).map("".join))
def test_any_text_is_matchers_or_a_value_error(text: str) -> None:
    try:
        found = parse_matchers(text)
    except ValueError:
        return
    assert parse_matchers(",".join(map(str, found))) == found


@given(ENTRIES, st.lists(LABELS, min_size=1, max_size=4), st.integers(1, 40))
def test_the_index_finds_what_a_scan_finds(
    entries: list[list[list[Matcher]]], alerts: list[dict[str, str]], copies: int
) -> None:
    many = [entry for entry in entries for _ in range(copies)]
    index = MatcherIndex(enumerate(many))
    for labels in alerts:
        scan = [
            number
            for number, alternatives in enumerate(many)
            if any(all(matcher.matches(labels) for matcher in matchers) for matchers in alternatives)
        ]
        assert index.find(labels) == scan
        assert index.find(labels) == scan
