"""The judges find what they are there for: a campaign that cannot fail proves nothing."""

from dataclasses import replace

from tests.attack.load import judge_all
from tests.attack.soak import Report
from tests.attack.takeover import most_at_once
from tests.attack.verdict import Findings
from tests.bed.ledger import Entry
from tests.bed.web import JsonObject


def entry(item: str, key: str, workers: int, *, applied: bool = True) -> Entry:
    after = {"workers": workers} if applied else None
    return Entry(1, 1.0, 1.0, "PUT", item, key, {}, {}, {"workers": 4}, after, applied, 200)


def run(item: str, state: str) -> JsonObject:
    return {"target": f"http/checkout/{item}", "state": state, "id": "1", "created_at": "now", "reason": "why"}


def test_what_went_well_is_not_found_fault_with() -> None:
    effects = [entry("a", "1:do", 5), entry("b", "2:do", 5), entry("b", "2:undo", 4)]
    runs = [run("a", "verified"), run("b", "rolled_back")]
    assert judge_all({"a": "kept", "b": "helpless"}, runs, effects).every == []


def test_an_alert_without_a_run_is_lost() -> None:
    assert len(judge_all({"a": "kept"}, [], []).lost) == 1


def test_an_effect_that_lands_twice_is_repeated() -> None:
    effects = [entry("a", "1:do", 5), entry("a", "1:do", 5)]
    assert len(judge_all({"a": "kept"}, [run("a", "verified")], effects).repeated) == 1


def test_a_refused_repetition_is_none() -> None:
    effects = [entry("a", "1:do", 5), entry("a", "1:do", 5, applied=False)]
    assert judge_all({"a": "kept"}, [run("a", "verified")], effects).every == []


def test_a_run_that_says_something_else_than_the_target_is_a_violation() -> None:
    assert len(judge_all({"a": "kept"}, [run("a", "verified")], []).violations) == 1
    assert len(judge_all({"a": "helpless"}, [run("a", "verified")], [entry("a", "1:do", 5)]).violations) == 1


def test_the_slope_of_memory_leaves_the_warm_up_out() -> None:
    samples = [(float(at), 50.0 + at) for at in range(10)] + [(float(at), 60 + 0.5 * (at - 10)) for at in range(10, 40)]
    report = Report(40, 8000, 2, 100, Findings(), samples, 14.2, 9)
    assert round(report.slope) == 30
    assert report.line().startswith("8,000 webhooks in 40 s (200/s), 2 faults, 100 runs: 0 lost, 0 duplicate effects")
    assert "longest takeover 14.2 s, at most 9 effects where 10 a minute are allowed" in report.line()


def test_only_what_landed_forward_on_its_items_counts_against_a_limit() -> None:
    at = [0.0, 10.0, 49.0, 51.0, 98.0]
    effects = [replace(entry("a", f"{number}:do", 5), ended=when) for number, when in enumerate(at)]
    others = [entry("b", "7:do", 5), entry("a", "8:undo", 4), entry("a", "9:do", 5, applied=False)]
    assert most_at_once([*effects, *others], ["a"]) == 3
    assert most_at_once([], ["a"]) == 0
