"""What must be true when a simulated day is over: the records against the target's ledger, and who was told."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from tests.attack.day_kinds import ESCALATES, LENDS
from tests.attack.made_up import Landed
from tests.attack.scenarios import BEFORE

Rows = Sequence[Mapping[str, JsonValue]]

OVER = frozenset({"undone", "drifted", "not_applied"})
"""States of a record of which nothing of ours is left."""
_DOUBTFUL = frozenset({"drifted", "uncertain", "undo_uncertain", "undo_failed", "intended", "undo_intended"})
"""States that leave open what a target holds."""


def steps_once(records: Rows, ledger: Sequence[Landed]) -> Iterator[str]:
    """Go through the steps, items and portions of which more than one effect landed."""
    step = {f"{one['id']}:do": f"{one['step']} of run {one['run']}" for one in records}
    landed = Counter(step[key] for key in {one.key for one in ledger} if key in step)
    yield from (f"{name} landed {count} times, each with a record" for name, count in landed.items() if count > 1)


def as_it_was(records: Rows, ledger: Sequence[Landed], items: Mapping[str, JsonValue]) -> Iterator[str]:
    """Go through the items that do not hold what the last change that stands has left, or what was there before.

    ``items`` are those that nobody else has touched, with what they hold.
    """
    of_item: defaultdict[str, list[Mapping[str, JsonValue]]] = defaultdict(list)
    for one in records:
        of_item[str(one["target"]).rpartition("/")[2]].append(one)
    order = {one.key: place for place, one in enumerate(ledger)}
    for item, holds in items.items():
        if any(one["state"] in _DOUBTFUL for one in of_item[item]):
            continue
        standing = [one for one in of_item[item] if one["state"] == "applied"]
        last = max(standing, key=lambda one: order.get(f"{one['id']}:do", -1), default=None)
        wanted = last["observed"] if last is not None else {"workers": BEFORE}
        if holds != wanted:
            yield f"{item} holds {holds} instead of {wanted}"


def ends_hold(runs: Rows, records: Rows, incidents: Mapping[str, Mapping[str, JsonValue]]) -> Iterator[str]:
    """Go through the runs whose end does not fit what is left of their changes, or of which nobody was told."""
    of_run: defaultdict[str, list[Mapping[str, JsonValue]]] = defaultdict(list)
    for one in records:
        of_run[str(one["run"])].append(one)
    taken_back = {str(run["of_run"]) for run in runs if run["of_run"]}
    for run in runs:
        stands = [one for one in of_run[str(run["id"])] if one["state"] not in OVER]
        name = f"run {run['id']} of {run['playbook']}"
        if run["state"] == "rolled_back" and stands:
            yield f"{name} is rolled_back, and {len(stands)} of its changes stand"
        if run["state"] != "verified" or run["id"] in taken_back:
            continue
        if run["playbook"] in ESCALATES and len(stands) > 1:
            yield f"{name} is verified with {len(stands)} of its steps"
        if run["playbook"] in LENDS and stands and not run["stop_by"]:
            if run["verdict"] != "not_given_back":
                yield f"{name} is over, and {len(stands)} of its changes were not given back"
            elif not _people_see(incidents[str(run["incident"])], incidents):
                yield f"{name} was not given back, and nobody is told"


def _people_see(incident: Mapping[str, JsonValue], incidents: Mapping[str, Mapping[str, JsonValue]]) -> bool:
    """Whether the incident asks for a person, or the one that is open now of the same group."""
    of_group = [one for one in incidents.values() if one["group_key"] == incident["group_key"]]
    return any(one["status"] == "open" and one["needs_person"] for one in of_group)
