"""The index keeps the given order and forgets answers rather than growing without bound."""

from responder.language.index import MatcherIndex
from responder.language.matchers import parse_matchers


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
