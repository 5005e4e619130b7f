"""What people said to a simulated day's runs, and whether that held for as long as the alert lasted."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from responder.stores.core.store import SqlStore
from tests.attack.day_judge import OVER, Rows


@dataclass(frozen=True, slots=True)
class No:
    """Somebody said no to a run, and to all that would be done about the alert of ``item``."""

    at: datetime
    item: str
    run: str


@dataclass(slots=True)
class Words:
    """Every no that was taken, and when the sender said that an alert had ended."""

    said: list[No] = field(default_factory=list)
    unwanted: set[str] = field(default_factory=set)
    """Runs to whose question between two steps somebody said no: nothing of them is to stay."""
    ends: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def heeded(self, runs: Rows) -> Iterator[str]:
        """Go through the runs that were begun behind a no, for the same alert, before that had ended."""
        for no in self.said:
            until = min((end for end in self.ends[no.item] if end >= no.at), default=None)
            for run in runs:
                began = datetime.fromisoformat(str(run["created_at"]))
                behind = began > no.at and (until is None or began < until)
                if behind and run["kind"] == "forward" and item_of(run) == no.item:
                    yield f"run {run['id']} was begun at {began} behind a no to run {no.run} at {no.at}"

    def undone(self, records: Rows) -> Iterator[str]:
        """Go through the changes that stand although their run is over by a no, and nothing was in doubt."""
        for run_id in self.unwanted:
            states = {str(one["state"]) for one in records if one["run"] == run_id}
            if "applied" in states and states <= {"applied", *OVER}:
                yield f"a change of run {run_id} stands behind a no to its question"


async def may_be_declined(store: SqlStore, run: Mapping[str, JsonValue]) -> bool:
    """Say whether a no to the run is one to its alert: that goes on, and all that was heard of it is decided."""
    if run["kind"] != "forward" or (await store.page("deliveries", {"state": "waiting"}, 1, "")).items:
        return False
    open_ = (await store.page("episodes", {"state": "open"}, 200, "")).items
    return any(item_of(one) == item_of(run) for one in open_)


def item_of(row: Mapping[str, JsonValue]) -> str:
    """Return which item a run's alert, or an episode, is about."""
    labels = row["labels"]
    assert isinstance(labels, dict)
    return str(labels["item"])
