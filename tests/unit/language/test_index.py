"""The index of matchers: order, alternatives and what has no equality to be filed under."""

from responder.language.index import MatcherIndex
from responder.language.matchers import parse_matchers


def index(**entries: tuple[str, ...]) -> MatcherIndex[str]:
    """One entry per keyword, its values the alternatives."""
    return MatcherIndex((name, [parse_matchers(text) for text in texts]) for name, texts in entries.items())


def test_entries_come_in_the_order_they_were_given() -> None:
    found = index(z=("a=1",), y=('a=~"1|2"',), x=("a!=3",), w=("",), v=("b=1",))
    assert found.find({"a": "1"}) == ["z", "y", "x", "w"]


def test_an_entry_is_found_once_however_many_of_its_alternatives_fit() -> None:
    assert index(one=("a=1", "b=1")).find({"a": "1", "b": "1"}) == ["one"]


def test_an_entry_without_alternatives_never_fits() -> None:
    assert index(one=()).find({"a": "1"}) == []


def test_a_missing_label_is_an_empty_one() -> None:
    found = index(absent=('a=""',), maybe=('a=~"|x"',), anything=('a=~".*"',), present=('a!=""',))
    assert found.find({}) == ["absent", "maybe", "anything"]
    assert found.find({"a": ""}) == ["absent", "maybe", "anything"]
    assert found.find({"a": "x"}) == ["maybe", "anything", "present"]


def test_many_entries_that_share_their_only_equality_are_told_apart() -> None:
    entries = {f"n{number}": (f'severity=critical,alertname=~"Disk{number}-.*"',) for number in range(200)}
    assert index(**entries).find({"severity": "critical", "alertname": "Disk7-full"}) == ["n7"]
    assert index(**entries).find({"severity": "info", "alertname": "Disk7-full"}) == []


def test_answers_do_not_depend_on_earlier_questions() -> None:
    found = index(one=('a=~"x.*",b!~"y.*"',))
    assert found.find({"a": "x1", "b": "y1"}) == []
    assert found.find({"a": "x1", "b": "z"}) == ["one"]
    assert found.find({"a": "x1", "b": "y1"}) == []
