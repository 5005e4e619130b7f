"""In which order a run's effects may land: told by the target's ledger, which knows nothing of runs."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from pydantic import JsonValue

from tests.attack.day_kinds import ESCALATES
from tests.attack.made_up import Landed

Row = Mapping[str, JsonValue]
_LEFT = frozenset({"drifted", "uncertain", "undo_uncertain", "undo_failed"})
"""States of a record that was passed over when others were undone."""


def in_order(
    runs: Sequence[Row], records: Sequence[Row], ledger: Sequence[Landed], edited: Collection[str]
) -> Iterator[str]:
    """Go through the effects that landed before their turn.

    What is undone is undone last first; whoever has begun to undo does not go forward again; only where one step after
    the other is tried, the next one follows, and then nothing of the one before may stand. Items that somebody else
    has ``edited`` are left out: their changes may be over without an undo of ours.
    """
    playbooks = {str(run["id"]): str(run["playbook"]) for run in runs}
    by_id = {str(one["id"]): one for one in records}
    effects: defaultdict[str, list[tuple[Row, str]]] = defaultdict(list)
    for landed in ledger:
        record, _, direction = landed.key.partition(":")
        if record in by_id and landed.item not in edited:
            effects[str(by_id[record]["run"])].append((by_id[record], direction))
    for run, each in effects.items():
        playbook = playbooks.get(run, "")
        name = f"run {run} of {playbook}"
        yield from (f"{name}: {wrong}" for wrong in _of_a_run(each, escalates=playbook in ESCALATES))


def _of_a_run(effects: Sequence[tuple[Row, str]], *, escalates: bool) -> Iterator[str]:
    standing: list[Row] = []
    turned_back = False
    for record, direction in effects:
        if direction == "do":
            others = [str(one["step"]) for one in standing if one["step"] != record["step"]]
            if escalates and others:
                yield f"{record['step']} landed without the undo of {', '.join(others)}"
            elif turned_back and not escalates:
                yield f"{record['step']} landed after the first undo"
            standing.append(record)
            continue
        turned_back = True
        later = standing[standing.index(record) + 1 :] if record in standing else []
        passed = [str(one["step"]) for one in later if one["state"] not in _LEFT]
        if passed:
            yield f"{record['step']} was undone before {', '.join(passed)}"
        standing = [one for one in standing if one is not record]
