"""The page of promises: each with the tests that are marked as holding it."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scripts.reference.markdown import page, table

TESTS = Path(__file__).parents[2] / "tests"
PROMISES: Mapping[int, str] = {
    1: "A 2xx answer means stored: `kill -9` at any instant loses nothing that was acknowledged.",
    2: "Duplicates, reorderings and repeats of one episode yield at most one run with a forward effect for each"
    " playbook and target, unless `attempts` allows more.",
    3: "Any bytes get 2xx, 4xx or 503 within a second of the last byte or the deadline for the body; the process lives;"
    " good alerts beside them are unaffected.",
    4: "At any crash point each effect, forward or compensating, lands at most once; actions without a fence are parked"
    " when in doubt, and need `accept: unfenced` to run in `auto`.",
    5: "Every effect seen at a target has an earlier committed record with a before-image.",
    6: "What was applied and reported as failed is recognised by reading back, never sent twice.",
    7: "A worker that lost its lease causes no effect that its successor did not allow for.",
    8: "Effects on one target never overlap; in every window they stay within the limits, across restarts, replicas,"
    " clocks that jump by an hour and a flushed Redis.",
    9: "A target set that is empty, cannot be resolved, is ambiguous or over its limit, health that is unknown, a label"
    " that is missing: no effect.",
    10: "A pause takes hold within one second of its commit, survives restarts, and nothing automatic lifts it.",
    11: "With the store down no effect starts, intake answers 503, and recovery needs nobody.",
    12: "No forward effect starts for an alert that is resolved, silenced, inhibited or too old at that moment.",
    13: "`observe`, `plan`, `test`, `simulate` and a dry run make no call that changes something.",
    14: "Every run ends within its deadline: verified, undone, or a person was told, which takes a receipt; what is not"
    " told is visible.",
    15: "NaN, empty, stale, slow or failing metrics never verify anything.",
    16: "Apply and undo restore the owned fields exactly; other people's edits in between survive.",
    17: "An approval is used once, before it expires, for exactly the plan that was shown, by someone allowed to.",
    18: "One audit entry for each transition; edits, deletions, reordering and truncation of sealed segments show.",
    19: "Planted secrets appear in no log, record, message, metric or error body.",
    20: "Learning may reorder or suggest; with no data the author's order stands; it never loosens a limit.",
}
NOT_YET: Mapping[int, str] = {
    13: "`plan`, `test` and `simulate` are not there; `observe`, and a cluster's own dry run, are.",
    20: "There is no learning. What exists, and is held, is the author's order.",
}
"""What a promise speaks of that does not exist."""


def marked() -> Mapping[int, Sequence[str]]:
    """Return the tests that hold each promise, as pytest names them."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "pytest.mark.promise" not in text:
            continue
        for test in ast.walk(ast.parse(text)):
            if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef):
                for number in _promises(test.decorator_list):
                    found[number].append(f"{path.relative_to(TESTS.parent)}::{test.name}")
    return found


def _promises(decorators: Sequence[ast.expr]) -> Iterator[int]:
    for one in decorators:
        if isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.promise":
            yield int(ast.literal_eval(one.args[0]))


def promises_page() -> str:
    """Return the page."""
    held = marked()
    rows = [
        (str(number), f"{text}{_not_yet(number)}", " ".join(f"`{test}`" for test in held.get(number, ())))
        for number, text in PROMISES.items()
    ]
    about = (
        "What this program promises whatever happens, and the tests that fail when it does not. A test says so itself"
        " (`@pytest.mark.promise(4)`), and `pytest -m promise` runs them. Single guards stand in [Guards and the tests"
        " that hold them](safety.md)."
    )
    return page("Promises and the tests that hold them", about, table(("No.", "Promise", "Held by"), rows))


def _not_yet(number: int) -> str:
    return f" **Not yet:** {NOT_YET[number]}" if number in NOT_YET else ""
