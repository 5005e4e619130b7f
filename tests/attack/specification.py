"""What the program is for, in a hundred lines: what must have come of deliveries, people and time.

It knows no queues, leases, records or transactions, and neither deaths, lost answers nor restarts: those must make no
difference. ``model.py`` plays the real decider, engine and store beside it and compares the two.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

MADE, WANTED = 1, 5
"""What a step adds to an item, and what ``steady`` and ``asks`` must then have."""
PATIENCE, YES_WITHIN = 120.0, 1800.0
"""Seconds until ``patient`` has failed, and until nobody has answered ``asks``."""
CONFIRMS_AFTER = 360.0
"""Seconds after which an old notice that is heard once more is no delayed copy: a group interval of 5 m and 60 s."""


class Kind(StrEnum):
    """The playbook that is for an item."""

    STEADY = "steady"
    PATIENT = "patient"
    ASKS = "asks"


@dataclass(slots=True)
class Item:
    """One item and its alert. ``began`` and ``ended`` are of the life of the alert that is the latest.

    ``doubted`` is when an old notice was heard after the end. ``run`` is what goes on: ``verifying`` or ``asking``,
    since ``since``; it was planned when the item held ``planned_on``, and leaves it at ``left_at``. ``declined``: a
    person said no to what was done about this life of the alert; somebody has to say that it has ended before more is.
    """

    kind: Kind
    holds: int
    began: float = 0.0
    ended: float | None = 0.0
    doubted: float | None = None
    served: bool = False
    run: str = ""
    since: float = 0.0
    planned_on: int = 0
    asked: int = 0
    left_at: int = 0
    agreed: bool = False
    declined: bool = False
    ends: Counter[str] = field(default_factory=Counter)
    effects: int = 0
    undone: int = 0

    @property
    def fires(self) -> bool:
        """Whether its alert has an open episode."""
        return self.ended is None


@dataclass(slots=True)
class Specification:
    """All items, and whether everything is paused."""

    items: dict[str, Item]
    paused: bool = False

    def firing(self, name: str, began: float, now: float) -> None:
        """A notice says that an alert fires since ``began``."""
        item = self.items[name]
        if item.ended is None:
            if item.declined:
                item.began = max(item.began, began)
            elif began > item.began and item.served:
                item.began, item.served = began, False  # it had ended in between, and nobody said so
        elif began > item.ended:
            item.began, item.ended, item.doubted, item.served, item.declined = began, None, None, False, False
        elif item.doubted is None:
            item.doubted = now
        elif now >= item.doubted + CONFIRMS_AFTER:
            item.ended = item.doubted = None  # that end was none: the same life goes on
        self._decide(item, now)

    def resolved(self, name: str, began: float, ended: float) -> None:
        """A notice says that the alert that began then is over."""
        item = self.items[name]
        if item.ended is not None:
            item.ended, item.doubted = max(item.ended, ended), None
        elif began >= item.began or ended >= item.began:
            item.ended = ended
        self._ask_no_more(item)

    def _decide(self, item: Item, now: float) -> None:
        if item.fires and not item.served and not self.paused:
            self._begin(item, now)
        self._ask_no_more(item)

    def _ask_no_more(self, item: Item) -> None:
        if item.run == "asking" and not (item.fires and item.served):
            self._end(item, "skipped")  # nothing fires that it would help
            item.served = False

    def _begin(self, item: Item, now: float) -> None:
        if item.run:
            item.served = True  # it joins what is under way
            return
        item.served, item.since, item.planned_on, item.asked = True, now, item.holds, 1
        if item.kind is Kind.ASKS:
            item.run = "asking"
        else:
            self._change(item)

    def _change(self, item: Item) -> None:
        item.run, item.left_at = "verifying", item.holds + MADE
        item.holds = item.left_at
        item.effects += 1
        if item.kind is Kind.PATIENT:
            return
        if item.holds == WANTED:
            self._end(item, "verified")
        else:
            self._undo(item)

    def _undo(self, item: Item) -> None:
        if item.holds != item.left_at:
            self._end(item, "partly_rolled_back")  # somebody else's change is not touched
            return
        item.holds -= MADE
        item.undone += 1
        self._end(item, "rolled_back")

    def _end(self, item: Item, state: str) -> None:
        item.ends[state] += 1
        item.run, item.agreed = "", False

    def passed(self, now: float) -> None:
        """It is later: what was waited for is over."""
        for item in self.items.values():
            if item.run == "verifying" and now >= item.since + PATIENCE:
                self._undo(item)
            if item.run == "asking" and now >= item.since + YES_WITHIN:
                self._end(item, "expired")
            self._decide(item, now)

    def pause(self, *, on: bool, now: float) -> None:
        """A person pauses everything, or lifts it."""
        self.paused = on
        self.passed(now)

    def answered(self, name: str, *, yes: bool, now: float) -> None:
        """A person says yes or no to the plan as it was shown."""
        item = self.items[name]
        if not yes:
            self._decline(item)
            self._end(item, "cancelled")
        elif item.holds != item.planned_on:
            item.planned_on, item.asked, item.since = item.holds, item.asked + 1, now
        elif self.paused:
            item.served = False  # it asks once more when the pause is lifted
            self._end(item, "skipped")
        else:
            self._change(item)

    def _decline(self, item: Item) -> None:
        """A no is one to the alert as it is now, also where its latest life was not served yet."""
        item.declined = True
        item.served = item.served or item.fires

    def stop(self, name: str) -> None:
        """A person stops the run that is under way."""
        item = self.items[name]
        if item.run:
            self._decline(item)
        if item.run == "asking":
            self._end(item, "cancelled")
        elif item.run:
            self._undo(item)

    def edited(self, name: str, holds: int) -> None:
        """Somebody changes the item by hand."""
        self.items[name].holds = holds
