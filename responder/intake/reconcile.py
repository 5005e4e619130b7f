"""Reconciling: what the sources show is compared with what is held of them, and the differences become deliveries.

A resolved notice does not come for an alert that ended while it was silenced or inhibited, that Alertmanager forgot in
a restart, or that it left out of a payload. So the sources that can be asked are asked now and then. Nothing is
decided here: what is shown goes into the inbox, and walks the straight line from there.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from responder.domain.alerts import Alert, Shown
from responder.domain.episodes import Episode, EpisodeState, Group
from responder.domain.errors import StepError, StoreError
from responder.domain.ids import new_id
from responder.intake import answers
from responder.ports.clock import Clock
from responder.ports.reconciling import Cut, Held, Reconciling
from responder.ports.store import Inbox, NewDelivery, QueueDepth
from responder.ports.witness import Picture, Witness

EVERY = timedelta(seconds=15)
"""How often a source is compared, by whichever replica comes first."""
CONFIRM_AFTER = timedelta(minutes=5)
"""Evidence that is older is renewed: often enough for ``limits.max_age`` (30m unless a playbook says otherwise)."""
GRACE = timedelta(seconds=60)
"""On top of a group interval; Prometheus sends again each minute what fires (prometheus.md)."""
MOST = 500
"""Alerts of a source in one comparison: what is left has its turn in the next one."""
PAGE = 1_000
CUTS = 20
"""Groups that were cut short and are completed in one comparison."""
BEHIND = timedelta(seconds=15)
"""When decide is this far behind, what the sources say by themselves goes first."""


class OnFact(Protocol):
    """Takes a fact once, to log and to count."""

    def __call__(self, name: str, /, **fields: object) -> None:
        """Note the fact ``name``."""
        ...


class Store(Inbox, Reconciling, Protocol):
    """What reconciling needs of the store."""

    async def depths(self) -> Mapping[str, QueueDepth]:
        """Return the depth of each queue."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """What a source showed ``at`` an instant; ``settled``: it has been up long enough for "missing" to mean it."""

    alerts: Mapping[str, Alert]
    at: datetime
    settled: bool


class Reconciler:
    """Compares the sources that can be asked with what is held of them."""

    def __init__(
        self,
        store: Store,
        witness: Witness,
        clock: Clock,
        *,
        group_interval: Callable[[], timedelta],
        on_committed: Callable[[], None],
        on_fact: OnFact,
    ) -> None:
        """``group_interval`` is the senders', as now; ``on_committed`` wakes whoever decides."""
        self._store = store
        self._witness = witness
        self._clock = clock
        self._group_interval = group_interval
        self._on_committed = on_committed
        self._on_fact = on_fact

    async def look(self) -> None:
        """Compare every source whose turn it is; one that cannot be asked changes nothing."""
        sources = [
            one for one in sorted(self._witness.sources) if await self._store.its_turn(f"reconcile/{one}", EVERY)
        ]
        if not sources:
            return
        depth = (await self._store.depths())["deliveries"]
        if depth.oldest_seconds > BEHIND.total_seconds():
            return
        for source in sources:
            try:
                await self._compare(source)
            except StepError as error:
                self._on_fact("witness_failed", source=source, error=str(error))
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - a fault of ours must not end the chore, nor keep it from the others
                self._on_fact("chore_failed", chore=f"reconcile {source}", error=f"{type(error).__name__}: {error}")

    async def _compare(self, source: str) -> None:
        view = await self._view(source)
        wait = self._group_interval() + GRACE
        held = await self._held(source)
        chosen = differences(view, held, wait)[:MOST]
        if chosen:
            found = await self._store.in_groups([one.id for one in chosen])
            await self._accept(source, _deliveries(view, found))
        await self._complete(source, {one.fingerprint for one in held if one.state is EpisodeState.OPEN})

    async def _complete(self, source: str, known: Collection[str]) -> None:
        """Ask for what a source left out of its deliveries; what cannot be asked for now is asked for again."""
        done: list[Cut] = []
        new: list[NewDelivery] = []
        for cut in await self._store.cut_groups(source, CUTS):
            at = self._clock.now()
            try:
                shown = await self._witness.group(cut.group)
            except StepError as error:
                self._on_fact("witness_failed", source=source, error=str(error))
                continue
            done.append(cut)
            rest = [one for one in shown if one.shown is Shown.ACTIVE and one.fingerprint not in known]
            if rest:
                new.append(_delivery(cut.group, rest, at))
        if await self._accept(source, new) and done:
            await self._store.completed(done)

    async def _accept(self, source: str, new: Sequence[NewDelivery]) -> bool:
        """Put deliveries into the inbox; says whether all are there."""
        if not new:
            return True
        refused = [answer for answer in await self._store.accept(new) if answer is not None]
        self._on_committed()
        self._on_fact("reconciled", source=source, groups=len(new), alerts=sum(one.alerts for one in new))
        return not refused

    async def _view(self, source: str) -> View:
        picture: Picture = await self._witness.picture(source)
        age = timedelta(seconds=self._clock.monotonic() - picture.read_at)
        wait = self._group_interval() + GRACE
        # Asked after the picture was taken: had it started since, it would say so.
        up = await self._witness.uptime(source)
        return View(picture.alerts, self._clock.now() - age, settled=up - age > wait)

    async def _held(self, source: str) -> Sequence[Held]:
        found: list[Held] = []
        after = ""
        while True:
            page = await self._store.held_of(source, after, PAGE)
            found += page
            if len(page) < PAGE:
                return found
            after = page[-1].fingerprint
            await asyncio.sleep(0)


def differences(view: View, held: Iterable[Held], wait: timedelta) -> list[Held]:
    """Return what is to be decided anew: first what has changed, then what was confirmed longest ago."""
    changed: list[Held] = []
    aged: list[Held] = []
    for one in held:
        if view.at <= one.evidence_at:
            continue
        alert = view.alerts.get(one.fingerprint)
        if _changed(one, alert, view, wait):
            changed.append(one)
        elif alert is not None and _to_confirm(one, alert, view):
            aged.append(one)
    return [*changed, *sorted(aged, key=lambda one: one.evidence_at)]


def _changed(one: Held, alert: Alert | None, view: View, wait: timedelta) -> bool:
    if alert is None:
        return view.settled and _gone(one, view.at, wait)
    if one.state is EpisodeState.LATE:
        return alert.shown is Shown.ACTIVE
    match alert.shown:
        case Shown.ACTIVE:
            return bool(one.suppressed) or one.missing_since is not None
        case Shown.SILENCED | Shown.INHIBITED:
            return one.suppressed != alert.shown.value or one.missing_since is not None
        case _:
            return False


def _gone(one: Held, at: datetime, wait: timedelta) -> bool:
    """Whether it is news that an alert is not there: for the first time, or for long enough."""
    if one.state is EpisodeState.LATE:
        return at >= one.evidence_at + wait
    return one.missing_since is None or at > one.missing_since + wait


def _to_confirm(one: Held, alert: Alert, view: View) -> bool:
    shown = alert.shown in (Shown.ACTIVE, Shown.SILENCED, Shown.INHIBITED)
    return shown and one.state is EpisodeState.OPEN and view.at - one.evidence_at > CONFIRM_AFTER


def _deliveries(view: View, found: Iterable[tuple[Episode, Group]]) -> list[NewDelivery]:
    """Write one delivery for each group, so that no alert moves to another incident by it."""
    groups: dict[tuple[str, str], tuple[Group, list[Alert]]] = {}
    for episode, group in found:
        _, alerts = groups.setdefault((group.receiver, group.group_key), (group, []))
        alerts.append(view.alerts.get(episode.fingerprint) or _missing(episode))
    return [_delivery(group, alerts, view.at) for group, alerts in groups.values()]


def _missing(episode: Episode) -> Alert:
    return Alert(
        status="firing",
        labels=episode.labels,
        annotations=episode.annotations,
        starts_at=episode.starts_at,
        ends_at=None,
        generator_url=episode.generator_url,
        fingerprint=episode.fingerprint,
        shown=Shown.MISSING,
    )


def _delivery(group: Group, alerts: Sequence[Alert], at: datetime) -> NewDelivery:
    return NewDelivery(new_id(), group.source, at, answers.compose(group, alerts), len(alerts))
