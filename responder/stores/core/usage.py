"""What the ledger, the slots and the runs say about playbooks and targets: what limits go by."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Row

from responder.domain.limits import ATTEMPTS_WINDOW, Limits, Shared, Usage
from responder.stores.core.database import Database
from responder.stores.core.prepared import END_BADLY, END_WELL

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Effect:
    """One forward effect, made or reserved."""

    target: str
    at: datetime
    run: str


class Facts:
    """The rows, sorted into what each usage needs; ``book`` adds what a transaction is about to write."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.latest: dict[str, int] = {}
        self._effects: dict[str, list[Effect]] = defaultdict(list)
        self._running: dict[Pair, int] = {}
        self._ends: dict[str, list[Row[Any]]] = defaultdict(list)
        self._held: dict[str, dict[str, str]] = defaultdict(dict)

    def add(self, row: Row[Any]) -> None:
        """Take one row of ``Prepared.usage``; others are left alone."""
        match row.what:
            case "effect":
                self.book(row.a, Effect(row.b, row.at, row.c))
            case "latest":
                self.latest[row.a] = row.number
            case "running":
                self._running[row.a, row.b] = row.number
            case "end":
                self._ends[row.b].append(row)
            case "held":
                self.hold(row.a, row.b, row.c)

    def book(self, playbook: str, effect: Effect) -> None:
        """Count an effect."""
        self._effects[playbook].append(effect)

    def hold(self, cap: str, run: str, target: str) -> None:
        """Count a run that holds its target under a cap."""
        self._held[cap][run] = target

    def usage(self, pair: Pair, now: datetime, own: str = "", caps: Iterable[str] = ()) -> Usage:
        """Return the usage of one (playbook, target); what the run ``own`` reserved, holds or ended does not count."""
        playbook, target = pair
        effects = [one for one in self._effects[playbook] if one.run != own]
        ends = [row for row in self._ends[target] if row.c != own]
        of_playbook = [row for row in ends if row.a == playbook]
        failures = [row for row in of_playbook if row.number == END_BADLY and row.at > now - ATTEMPTS_WINDOW]
        return Usage(
            on_target=tuple(one.at for one in effects if one.target == target),
            by_playbook=tuple(one.at for one in effects),
            running=self._running.get((own, playbook), 0),
            last_end=max((row.at for row in ends), default=None),
            unsuccessful=len(failures),
            helped=tuple(row.at for row in of_playbook if row.number == END_WELL),
            shared={cap: self._shared(cap, target, own) for cap in caps},
        )

    def _shared(self, cap: str, target: str, own: str) -> Shared:
        effects = [one for one in self._effects[cap] if one.run != own]
        return Shared(
            effects=tuple(one.at for one in effects),
            on_target=tuple(one.at for one in effects if one.target == target),
            running=len(self._held[cap].keys() - {own}),
            elsewhere=tuple((one.target, one.at) for one in effects if one.target != target),
            held=frozenset(self._held[cap].values()) - {target},
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back limits look: at effects by playbook (or key of a cap), and at the ends of runs by target."""

    used: Mapping[str, datetime]
    ended: Mapping[str, datetime]
    caps: frozenset[str]

    @classmethod
    def of(cls, asked: Iterable[tuple[Pair, Limits]], now: datetime) -> Self:
        """Return the farthest that any of these limits on (playbook, target) looks."""
        used: dict[str, datetime] = {}
        ended: dict[str, datetime] = {}
        caps: set[str] = set()
        for (playbook, target), limits in asked:
            used[playbook] = min(used.get(playbook, now), now - limits.rate_window)
            ended[target] = min(ended.get(target, now), now - limits.end_window)
            for cap in limits.caps:
                used[cap.key] = min(used.get(cap.key, now), now - cap.window)
                caps.add(cap.key)
        return cls(used, ended, frozenset(caps))


def usage_given(db: Database, reach: Reach, counted: Collection[Pair]) -> dict[str, Any]:
    """Return the parameters of ``Prepared.usage``, and of ``Prepared.capped_usage`` where there are caps.

    ``counted`` are (run, playbook) whose slots are counted; an empty run stands for one that is not there yet.
    """
    each = sorted(counted)
    return {
        **db.give("used_given", playbook=list(reach.used), since=list(reach.used.values())),
        **db.give("ended_given", target=list(reach.ended), since=list(reach.ended.values())),
        **db.give("counted_given", run=[run for run, _ in each], playbook=[playbook for _, playbook in each]),
        **(db.give("capped_given", key=sorted(reach.caps)) if reach.caps else {}),
    }


def usage_of(
    found: Iterable[Row[Any]], pairs: Collection[Pair], now: datetime, caps: Collection[str] = ()
) -> Mapping[Pair, Usage]:
    """Return the usage of each (playbook, target) from the rows of ``Prepared.usage``."""
    facts = Facts()
    for row in found:
        facts.add(row)
    return {pair: facts.usage(pair, now, caps=caps) for pair in pairs}
