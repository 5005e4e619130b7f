"""The index keeps the given order and forgets answers rather than growing without bound."""

import pytest

from responder.language.index import MatcherIndex
from responder.language.matchers import Matcher, parse_matchers


def test_entries_come_in_the_order_they_were_given() -> None:
    index = MatcherIndex(
        [
            ("expression", [parse_matchers("severity=~crit.*")]),
            ("nothing", []),
            ("everything", [()]),
            ("equality", [parse_matchers("alertname=Down"), parse_matchers("alertname=Up")]),
            ("absence", [parse_matchers('team=""')]),
        ]
    )
    assert index.find({"alertname": "Up", "severity": "critical"}) == [
        "expression",
        "everything",
        "equality",
        "absence",
    ]
    assert index.find({"team": "payments"}) == ["everything"]
    assert index.find({"team": ""}) == ["everything", "absence"]


def test_a_label_with_endless_values_does_not_fill_the_memory() -> None:
    index = MatcherIndex([(1, [parse_matchers("pod=~api-.*, env!~test.*")])])
    for number in range(10_000):
        assert index.find({"pod": f"api-{number}", "env": f"prod-{number}"}) == [1]
    assert len(index._by_expression["pod"]._answers) <= 4_096


def test_an_entry_is_found_once_however_many_of_its_alternatives_fit() -> None:
    index = MatcherIndex([("one", [parse_matchers("a=1"), parse_matchers("b=1")])])
    assert index.find({"a": "1", "b": "1"}) == ["one"]


def test_many_entries_that_share_their_only_equality_are_told_apart() -> None:
    texts = {f"n{number}": f'severity=critical,alertname=~"Disk{number}-.*"' for number in range(200)}
    index = MatcherIndex((name, [parse_matchers(text)]) for name, text in texts.items())
    assert index.find({"severity": "critical", "alertname": "Disk7-full"}) == ["n7"]
    assert index.find({"severity": "info", "alertname": "Disk7-full"}) == []


def test_an_answer_does_not_depend_on_earlier_questions() -> None:
    index = MatcherIndex([("one", [parse_matchers('a=~"x.*",b!~"y.*"')])])
    assert index.find({"a": "x1", "b": "y1"}) == []
    assert index.find({"a": "x1", "b": "z"}) == ["one"]
    assert index.find({"a": "x1", "b": "y1"}) == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("ab*", "a"),
        ("ab?c", "ac"),
        ("ab{0,1}", "a"),
        ("ab+", "abb"),
        ("^ab", "ab"),
        ("a.*|b.*", "bc"),
        ("(a|b)c.*", "bcd"),
        ("(?i)ab.*", "ABC"),
        ("[ab]c", "bc"),
        ("a.*|", ""),
        ("a\\|b.*", "a|bc"),
    ],
)
def test_an_expression_is_found_however_it_starts(expression: str, value: str) -> None:
    index = MatcherIndex([(1, [(Matcher("pod", "=~", expression),)])])
    assert index.find({"pod": value}) == [1]
    assert index.find({"pod": "zzz"}) == []
