"""What else happened: incidents that share labels, what we changed lately, how the playbook has done before."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from responder.domain.findings import Finding
from responder.domain.notification import Account
from responder.domain.runs import RunState
from responder.domain.targets import SEPARATOR
from responder.language.durations import human_duration
from responder.ports.findings import Announced, FindingsStore, Nearby, PastRun, Touched
from responder.tell.enrich import Scene
from responder.tell.headline import main_run, ranked
from responder.tell.words import change, clock, short

PAST, RECENT, BESIDE = timedelta(days=30), timedelta(hours=2), timedelta(minutes=30)
MOST = 3
APART = 2
"""So many labels tell incidents of one name apart."""
KNOWN = timedelta(minutes=1)
NEAR = timedelta(seconds=2)
"""How old what is known of the surroundings may be: in a storm, those of all incidents are nearly the same."""
_STEP = timedelta(minutes=1)
TELLING = ("namespace", "deployment", "statefulset", "daemonset", "pod", "node", "instance", "service", "job")
"""Labels that say where; what is shared of the others says little."""
_FIXED = frozenset({RunState.VERIFIED, RunState.KEPT, RunState.REVERTING})
_UNDONE = frozenset({RunState.ROLLED_BACK})


T = TypeVar("T")


@dataclass(slots=True)
class _Lately(Generic[T]):
    """What was read in the last ``NEAR``, by the times that it is about; whoever comes at once waits for one read."""

    read: Callable[[datetime, datetime], Awaitable[Sequence[T]]]
    _kept: dict[tuple[datetime, datetime], tuple[datetime, Sequence[T]]] = field(default_factory=dict)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, since: datetime, until: datetime, now: datetime) -> Sequence[T]:
        """Return what is there from a little before ``since`` to a little after ``until``."""
        key = _down(since, _STEP), _down(until, NEAR) + NEAR
        async with self._reading:
            if key in self._kept and abs(now - self._kept[key][0]) < NEAR:
                return self._kept[key][1]
            found = await self.read(*key)
            self._kept = {one: kept for one, kept in self._kept.items() if abs(now - kept[0]) < NEAR}
            self._kept[key] = now, found
            return found


def _down(at: datetime, step: timedelta) -> datetime:
    return at - (at - datetime.min.replace(tzinfo=at.tzinfo)) % step


class Around:
    """What the store knows around an incident."""

    def __init__(self, store: FindingsStore) -> None:
        """Read from ``store``: the surroundings every two seconds at most, how a playbook has done once a minute."""
        self._store = store
        self._beside: _Lately[Nearby] = _Lately(lambda since, _: store.nearby("", since))
        self._touched: _Lately[Touched] = _Lately(store.touched)
        self._announced: _Lately[Announced] = _Lately(store.announced)
        self._read: dict[str, tuple[datetime, Sequence[PastRun]]] = {}

    async def look(self, scene: Scene) -> Sequence[Finding]:
        """Return what was found; raises StoreError."""
        account, now = scene.account, scene.now
        run = main_run(account)
        playbook = run.playbook if run is not None else (scene.playbook.name if scene.playbook is not None else "")
        past = await self._past(playbook, now) if playbook else ()
        opened = account.incident.opened_at
        beside = [
            one
            for one in await self._beside.get(opened - BESIDE, now, now)
            if one.opened_at > opened - BESIDE and one.incident != account.incident.id
        ]
        touched = [
            one for one in await self._touched.get(opened - RECENT, opened, now) if opened - RECENT < one.at <= opened
        ]
        said = [one for one in await self._announced.get(opened - RECENT, now, now) if opened - RECENT < one.at <= now]
        return [
            *_past(playbook, past, now), *_changed(account, touched, now), *_said(account, said, now),
            *_related(account, beside, now),
        ]  # fmt: skip

    async def _past(self, playbook: str, now: datetime) -> Sequence[PastRun]:
        at, found = self._read.get(playbook, (now - PAST, ()))
        if now - at > KNOWN:
            found = await self._store.past(playbook, now - PAST)
            self._read[playbook] = (now, found)
        return found


def _past(playbook: str, runs: Sequence[PastRun], now: datetime) -> Sequence[Finding]:
    """Say how a playbook has done: ``last 30 days: 14 runs, 12 fixed, 2 undone, median 2m10s``."""
    if not runs:
        return ()
    fixed = [one for one in runs if one.state in _FIXED]
    undone = sum(one.state in _UNDONE for one in runs)
    other = len(runs) - len(fixed) - undone
    parts = [f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}", f"{len(fixed)} fixed"]
    parts += [f"{undone} undone"] if undone else []
    parts += [f"{other} ended otherwise"] if other else []
    if fixed:
        median = statistics.median([one.took.total_seconds() for one in fixed])
        parts.append(f"median {human_duration(timedelta(seconds=median))}")
    return [Finding("past", now, f"{playbook}, last 30 days: {', '.join(parts)}")]


def _targets(account: Account) -> Collection[str]:
    return {run.target for run in account.runs} | {one.target for one in account.decisions if one.target}


def _changed(account: Account, touched: Sequence[Touched], now: datetime) -> Sequence[Finding]:
    """Say what we have changed there before it began."""
    targets = _targets(account)
    ours = {run.id for run in account.runs}
    near = [one for one in touched if one.run not in ours and any(_same(one.target, target) for target in targets)]
    return [Finding(f"changed:{one.record}", now, _change(one)) for one in near[:MOST]]


def _said(account: Account, announced: Sequence[Announced], now: datetime) -> Sequence[Finding]:
    """Say what others say that they have changed there."""
    targets = _targets(account)
    near = [one for one in announced if _about(one, account, targets)]
    return [Finding(f"changed:said:{one.seq:016}", now, _announcement(one)) for one in near[:MOST]]


def _about(one: Announced, account: Account, targets: Collection[str]) -> bool:
    """Say whether it is of a target, or all its labels are those of an alert."""
    if one.target and any(_same(one.target, target) for target in targets):
        return True
    alike = (episode.labels for episode in account.episodes)
    return bool(one.labels) and any(one.labels.items() <= labels.items() for labels in alike)


def _announcement(one: Announced) -> str:
    where = one.target or ", ".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
    return f"{clock(one.at)} {short(one.by, 60)} announced: {short(one.summary, 200)} ({short(where, 80)})"


def _change(one: Touched) -> str:
    what = change(one.before, one.after, done=True) or one.step
    undone = f", undone at {clock(one.undone_at)}" if one.undone_at else ""
    return f"{clock(one.at)} {one.playbook} changed {short(one.target, 80)}: {what}{undone}"


def _same(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}{SEPARATOR}") or other.startswith(f"{one}{SEPARATOR}")


def _related(account: Account, beside: Sequence[Nearby], now: datetime) -> Sequence[Finding]:
    """Say which other incidents began about then at the same place, the most alike first."""
    worst = next(iter(ranked(account)), None)
    labels = worst.labels if worst is not None else account.incident.group_labels
    alike = [(one, shared) for one in beside if (shared := _shared(labels, one.labels))]
    alike.sort(key=lambda pair: (-len(pair[1]), pair[0].opened_at))
    listed = [one for one, _ in alike[:MOST]]
    return [
        Finding(f"related:{one.incident}", now, _neighbour(one, list(dict.fromkeys((*_apart(one, listed), *shared)))))
        for one, shared in alike[:MOST]
    ]


def _neighbour(one: Nearby, labels: Sequence[str]) -> str:
    name = short(one.labels.get("alertname", "(no alertname)"), 80)
    return f"{name} began {clock(one.opened_at)} ({', '.join(labels)}){'' if one.open else ', over'}"


def _apart(one: Nearby, listed: Sequence[Nearby]) -> Sequence[str]:
    """Return the labels that tell it from others of its name, which would read the same without them."""
    same = [each.labels for each in listed if each.labels.get("alertname") == one.labels.get("alertname")]
    names = [name for name, value in one.labels.items() if any(each.get(name) != value for each in same)]
    where = sorted(names, key=lambda name: (TELLING.index(name) if name in TELLING else len(TELLING), name))
    return [f"{name}={short(one.labels[name], 40)}" for name in where[:APART]]


def _shared(labels: Mapping[str, str], others: Mapping[str, str]) -> Sequence[str]:
    """Return the labels that both have; a namespace or a job alone is no sign."""
    names = [name for name in TELLING if labels.get(name) and labels.get(name) == others.get(name)]
    return [f"{name}={short(labels[name], 40)}" for name in names] if set(names) - {"namespace", "job"} else []
