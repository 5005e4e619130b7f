"""The judges find what they are there for: a campaign that cannot fail proves nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from responder.app import catalogue
from responder.playbook.library import load_library
from responder.ports.action import Action
from tests.attack import databases, machines
from tests.attack.clusters import DEEDS
from tests.attack.day_judge import as_it_was, ends_hold, steps_once
from tests.attack.day_order import in_order
from tests.attack.load import judge_all
from tests.attack.made_up import Landed
from tests.attack.scenarios import PLAYBOOKS
from tests.attack.soak import Report
from tests.attack.takeover import STORE_AWAY, Hurt, most_at_once, too_late
from tests.attack.verdict import Findings
from tests.attack.wards import playbook
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
    report = Report(40, 8000, 2, 100, Findings(), samples, [Hurt("SIGKILL", 4, 14.2), Hurt("SIGSTOP", 3, 5)], 9)
    assert round(report.slope) == 30
    assert report.line().startswith("8,000 webhooks in 40 s (200/s), 2 faults, 100 runs: 0 lost, 0 duplicate effects")
    assert "7 runs taken over, the longest after 14.2 s of 35 (SIGKILL with 4 runs held: 14.2 s; " in report.line()
    assert "at most 9 effects where 10 a minute are allowed" in report.line()


def test_what_waits_longer_than_a_lease_shows_and_so_does_a_death_that_finds_nothing() -> None:
    assert list(too_late([Hurt("SIGKILL", 4, 14.2), Hurt("SIGSTOP", 3, 30.4), Hurt(STORE_AWAY, 0, 0.0)])) == []
    assert len(list(too_late([Hurt("SIGSTOP", 3, 35.1)]))) == 1
    assert len(list(too_late([Hurt("SIGKILL", 0, 0.0)]))) == 1


def test_only_what_landed_forward_on_its_items_counts_against_a_limit() -> None:
    at = [0.0, 10.0, 49.0, 51.0, 98.0]
    effects = [replace(entry("a", f"{number}:do", 5), ended=when) for number, when in enumerate(at)]
    others = [entry("b", "7:do", 5), entry("a", "8:undo", 4), entry("a", "9:do", 5, applied=False)]
    assert most_at_once([*effects, *others], ["a"]) == 3
    assert most_at_once([], ["a"]) == 0


def row(**fields: JsonValue) -> dict[str, JsonValue]:
    """Return a record, or a run, of a simulated day."""
    return {"id": "r", "run": "run", "step": "add[1/3]", "target": "http/checkout/a", "state": "applied"} | fields


def test_a_portion_that_landed_under_two_records_shows() -> None:
    ledger = [Landed("r:do", "a", {"workers": 5}), Landed("s:do", "a", {"workers": 6})]
    assert list(steps_once([row(), row(id="s", step="add[2/3]")], ledger)) == []
    assert len(list(steps_once([row(), row(id="s")], ledger))) == 1


@pytest.mark.parametrize(("state", "holds", "wrong"), [("undone", 4, 0), ("undone", 5, 1), ("applied", 4, 1)])
def test_an_item_that_is_not_as_its_records_say_shows(state: str, holds: int, wrong: int) -> None:
    records = [row(state=state, observed={"workers": 5})]
    ledger = [Landed("r:do", "a", {"workers": 5})]
    assert len(list(as_it_was(records, ledger, {"a": {"workers": holds}}))) == wrong


def lent(**fields: JsonValue) -> dict[str, JsonValue]:
    kept: dict[str, JsonValue] = {
        "id": "run", "playbook": "lends", "state": "verified", "verdict": "verified", "stop_by": "", "of_run": "",
        "incident": "i",
    }  # fmt: skip
    return kept | fields


@pytest.mark.parametrize(
    ("ended", "left", "status", "wrong"),
    [
        (lent(), "undone", "resolved", 0),
        (lent(), "applied", "open", 1),
        (lent(stop_by="ana"), "applied", "resolved", 0),
        (lent(verdict="not_given_back"), "applied", "open", 0),
        (lent(verdict="not_given_back"), "applied", "resolved", 1),
        (lent(state="rolled_back"), "applied", "open", 1),
    ],
)
def test_what_is_left_behind_an_end_and_not_told_shows(
    ended: dict[str, JsonValue], left: str, status: str, wrong: int
) -> None:
    incidents = {"i": {"group_key": "g", "status": status, "needs_person": "look"}}
    assert len(list(ends_hold([ended], [row(state=left)], incidents))) == wrong


def test_a_second_step_that_stands_behind_one_that_helped_shows() -> None:
    helped = lent(playbook="escalates")
    assert len(list(ends_hold([helped], [row(), row(id="s")], {}))) == 1


FIRST, SECOND = row(id="r", step="change"), row(id="s", step="harder")


@pytest.mark.parametrize(
    ("playbook", "keys", "wrong"),
    [
        ("escalates", "r:do r:undo s:do s:undo", []),
        ("escalates", "r:do s:do s:undo r:undo", ["harder landed without the undo of change"]),
        ("breaks", "r:do s:do s:undo r:undo", []),
        ("breaks", "r:do s:do r:undo s:undo", ["change was undone before harder"]),
        ("breaks", "r:do r:undo s:do s:undo", ["harder landed after the first undo"]),
        ("piles-up", "r:do s:do", []),
    ],
)
def test_an_effect_that_landed_before_its_turn_shows(playbook: str, keys: str, wrong: list[str]) -> None:
    ledger = [Landed(key, "a", {"workers": 5}) for key in keys.split()]
    runs = [lent(playbook=playbook)]
    assert list(in_order(runs, [FIRST, SECOND], ledger, ())) == [f"run run of {playbook}: {one}" for one in wrong]
    assert list(in_order(runs, [FIRST, SECOND], ledger, {"a"})) == []


def test_every_playbook_of_an_attack_loads(tmp_path: Path) -> None:
    texts = dict(texts for kind in (databases.KINDS | machines.KINDS).values() for texts in kind.playbooks.items())
    texts |= {name: playbook(name, deed.kind, deed.as_steps) for name, deed in DEEDS.items()}
    texts |= {file.removesuffix(".yaml"): text for file, text in PLAYBOOKS.items()}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    library = load_library((tmp_path,), catalogue(), None, {})
    assert library.playbooks.keys() == texts.keys(), library.complaints


def test_every_action_is_attacked() -> None:
    actions = catalogue().actions
    attacked = {deed.full for deed in DEEDS.values()}
    steps = [step for kind in (databases.KINDS | machines.KINDS).values() for step in kind.steps.values()]
    attacked |= {word.removesuffix(":") for step in steps for word in step.split() if word[-1] == ":"}
    assert attacked & actions.keys() == actions.keys() - NOTHING_OUTSIDE - {"http.request"}
    waiting = {name for name, kind in actions.items() if kind.waits is not Action.waits}
    assert {deed.full for deed in DEEDS.values() if deed.waits} == waiting
    events = {deed.full for deed in DEEDS.values() if deed.event}
    assert events == {deed.full for deed in DEEDS.values() if actions[deed.full].undoes == "impossible"}


NOTHING_OUTSIDE = {"ask", "note", "page", "wait"}
"""What happens between steps; ``http.request`` is what the first scenarios are about."""
