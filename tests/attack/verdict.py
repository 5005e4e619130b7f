"""What must be true of every case, whatever was done to the responder; the target's ledger is the judge."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.attack.lives import FINAL, Victim
from tests.attack.scenarios import AFTER, BEFORE, Scenario
from tests.bed.ledger import Entry
from tests.bed.web import JsonObject

_SLACK = timedelta(milliseconds=50)
"""The two clocks are one machine's, read by two processes; SQLite's is anchored at the start."""


@dataclass(slots=True)
class Findings:
    """What was wrong, by kind; every sentence names the case."""

    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    @property
    def every(self) -> list[str]:
        """All of them."""
        return [*self.lost, *self.repeated, *self.violations]


@dataclass(frozen=True, slots=True)
class Account:
    """A case that is over; ``effects`` are the ledger's entries of its item that took effect."""

    case: str
    scenario: Scenario
    item: str
    effects: Sequence[Entry]


def judge(account: Account, victim: Victim, found: Findings) -> None:
    """Add what is wrong with a case that is over."""
    case, item, effects = account.case, account.item, account.effects
    runs = victim.runs(item)
    records = [record for run in runs for record in victim.items(f"records?run={run['id']}")]
    ends(account, runs, victim, found)
    _once(case, effects, found)
    _foreseen(case, effects, records, found)
    _what_the_ends_say(account, runs, found)
    decided(case, item, victim, found)


def ends(account: Account, runs: Sequence[JsonObject], victim: Victim, found: Findings) -> None:
    """Every run ends, and as its scenario ends when nobody hurts it."""
    case, scenario = account.case, account.scenario
    counts = Counter((run["kind"], run["state"]) for run in runs)
    if not runs:
        found.lost.append(f"{case}: no run")
    for (kind, state), count in counts.items():
        if state not in FINAL:
            found.violations.append(f"{case}: a {kind} run stays {state}")
        elif (kind, state) not in scenario.ends or count > 1:
            why = "; ".join(str(run["reason"]) for run in runs)
            found.violations.append(f"{case}: {count} × {kind} run {state} ({why})")
    for run in runs:
        if run["state"] == "unknown" and not _calls_for_a_person(run, victim):
            found.violations.append(f"{case}: nobody was called for the {run['kind']} run that ended unknown")


def _calls_for_a_person(run: JsonObject, victim: Victim) -> bool:
    return bool(victim.items(f"incidents?id={run['incident']}")[0]["needs_person"])


def _once(case: str, effects: Sequence[Entry], found: Findings) -> None:
    """No effect lands twice."""
    for key, count in Counter(entry.key for entry in effects).items():
        if count > 1 or not key:
            found.repeated.append(f"{case}: {count} × {key or 'an effect without a key'}")


def _foreseen(case: str, effects: Sequence[Entry], records: Sequence[JsonObject], found: Findings) -> None:
    """Each effect has an earlier record that says how to undo it."""
    known = {record["id"]: record for record in records}
    for entry in effects:
        record = known.get(entry.key.partition(":")[0])
        if record is None or not record["before"]:
            found.violations.append(f"{case}: {entry.key} has no record with a before-image")
        elif datetime.fromisoformat(record["created_at"]).timestamp() > entry.began + _SLACK.total_seconds():
            found.violations.append(f"{case}: {entry.key} was written down after it was sent")


def _what_the_ends_say(account: Account, runs: Sequence[JsonObject], found: Findings) -> None:
    """The target stands as the ends of the runs say: changed when verified and not rolled back since.

    What ended unknown stands as it was left, which is what a person was called for.
    """
    case, effects, lands = account.case, account.effects, account.scenario.lands
    verified = any(run["kind"] == "forward" and run["state"] == "verified" for run in runs)
    rolled_back = any(run["state"] == "rolled_back" for run in runs)
    landed = [(entry.after or {}).get("workers") for entry in effects]
    unknown = any(run["state"] == "unknown" for run in runs)
    wanted = [AFTER] if (verified and not rolled_back) or unknown else [AFTER, BEFORE]
    if lands and not unknown:
        wanted = list(lands)
    if any(run["state"] in {"cancelled", "expired", "skipped"} for run in runs):
        wanted = []
    if len(landed) < len(wanted):
        found.lost.append(f"{case}: the target was set to {landed} instead of {wanted}")
    elif landed != wanted:
        found.violations.append(f"{case}: the target was set to {landed} instead of {wanted}")


def decided(case: str, item: str, victim: Victim, found: Findings) -> None:
    """What was acknowledged has its episode and its decision."""
    if item not in victim.acknowledged:
        found.violations.append(f"{case}: never acknowledged")
        return
    _, text = victim.call("GET", f"/api/v1/explain?item={item}")

    stories = json.loads(text)["items"]
    if not stories:
        found.lost.append(f"{case}: its alert has no episode")
    elif not any(story["decisions"] for story in stories):
        found.lost.append(f"{case}: its alert was not decided")
