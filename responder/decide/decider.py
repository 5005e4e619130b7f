"""The decider: claims deliveries and due episodes and takes them through slices, one transaction each."""

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import TypeVar

from responder.decide.due import DueEpisodes, OnFact
from responder.decide.large import LARGE, Large
from responder.decide.memory import Memory
from responder.decide.options import Library
from responder.decide.rules import Rules
from responder.decide.slices import CONFLICTS, SLICE, TURN, Decided, Desk, Share, decide_deliveries
from responder.decide.suspects import Suspects
from responder.domain.alerts import Delivery, Notice, Severity
from responder.domain.episodes import Incident
from responder.domain.errors import Conflict, StoreError, Unavailable
from responder.domain.ids import new_id
from responder.ports.store import CLAIMED_BYTES, MAX_ATTEMPTS, Audit, DecideStore, DeliveryProgress, SliceChanges
from responder.ports.wake import Queue, Wake

CLAIM = 200
"""Deliveries in one claim; where each has one alert, they fill a slice."""
CLAIMED_ALERTS = LARGE
"""About how many alerts one claim takes: what waits in memory for its slice is bounded by this, not by ``CLAIM``."""
BEHIND_FROM = 4
"""So many deliveries in one claim have waited for each other."""
FEWER = 4
"""After a turn that the store cut short, a claim takes this part of what it took; one that went well, twice as many."""
DUE_EVERY = 0.1
"""Seconds between two looks for due episodes while deliveries keep coming."""
THREAD_FROM = 64 * 1024
"""A body from this size on is parsed beside the event loop."""
BACK_OFF = timedelta(seconds=1)
BEHIND = timedelta(seconds=0.5)
"""How soon a delivery is looked at again for which too many large ones are held; the longer, the larger it is."""


One = TypeVar("One")
Parse = Callable[[str, bytes], Notice]
"""Reads the body of a source's delivery; raises when it cannot."""


class Decider:
    """Turns deliveries and due episodes into episodes, incidents, decisions and runs."""

    def __init__(
        self,
        store: DecideStore,
        library: Library,
        rules: Callable[[], Rules],
        parse: Parse,
        *,
        on_fact: OnFact,
        wake: Wake | None = None,
    ) -> None:
        """``library`` and ``rules`` return what is in force now; both are swapped as a whole on a reload."""
        self._store = store
        self._library = library
        self._rules = rules
        self._parse = parse
        self._on_fact = on_fact
        self._wake = wake
        self._memory = Memory()
        self._claim = CLAIM
        self._full = False
        """Whether the last claim took all that it could."""
        self._large = Large()
        self._suspects = Suspects()
        self._due = DueEpisodes(store, self._desk, self._emit, self._suspects, on_fact)
        self._looked_at = -math.inf
        self._behind = False
        self._cut_short = False
        """Whether the store failed us: what we claimed is held although nobody works on it."""

    @property
    def behind(self) -> bool:
        """Whether alerts wait to be decided."""
        return self._behind

    async def turn(self) -> int:
        """Decide what is there, deliveries first; returns how many deliveries and episodes that were.

        When there may be more deliveries, or a large one is not at its end, it returns at least ``CLAIM``.
        """
        if self._cut_short:
            await self._store.give_back_deliveries()
            self._cut_short = False
        try:
            done = await self._deliveries()
        except Unavailable:
            self._cut_short = True
            self._claim = max(1, self._claim // FEWER)  # it may have been too much at once
            self._large.forget()
            raise
        now = asyncio.get_running_loop().time()
        due = 0
        if done == 0 or now - self._looked_at >= DUE_EVERY:
            self._looked_at = now
            due = await self._due.turn()
        self._behind = self._full or bool(self._large)
        return max(CLAIM, done + due) if self._behind else done + due

    # --- deliveries ---------------------------------------------------------------------------------------------

    async def _deliveries(self) -> int:
        claimed = await self._store.claim_deliveries(self._claim)
        size = sum(len(delivery.body) for delivery in claimed)
        self._full = len(claimed) >= self._claim or size >= CLAIMED_BYTES
        # Of few, nothing is left in a moment.
        self._behind = len(claimed) >= min(BEHIND_FROM, self._claim)
        if claimed:
            await self._small(claimed)
        return len(claimed) + (await self._large_slice() if self._large else 0)

    async def _large_slice(self) -> int:
        """Decide one more slice of the large deliveries, of each as many alerts; returns how many are at their end."""
        shares = self._large.shares(SLICE)
        behind: set[str] = set()
        for some in self._apart(shares, lambda share: share.delivery.id):
            behind |= await self._slice(some)
        self._large.decided(shares, behind)
        return sum(share.progress().done for share in shares)

    async def _small(self, claimed: Sequence[Delivery]) -> None:
        """Decide what is not large; a large one is taken up, and gets on behind all others."""
        until = asyncio.get_running_loop().time() + TURN.total_seconds()
        readable = []
        for delivery in claimed:
            notice = await self._read(delivery)
            if notice is None:
                continue
            if not self._large.concerns(delivery, notice):
                readable.append((delivery, notice))
            elif not self._large.take(delivery, notice):
                wait = BEHIND * (1 + len(notice.alerts) // LARGE)
                await self._put_back([Share(delivery, notice, delivery.cursor, ())], wait)
        alerts = sum(len(notice.alerts) for _, notice in readable)
        self._claim = min(CLAIM, 2 * self._claim, max(1, CLAIMED_ALERTS * len(claimed) // max(1, alerts)))
        left: set[str] = set()
        apart = self._apart(readable, lambda one: one[0].id)
        for shares in (shares for some in apart for shares in packed(some)):
            # Behind a part that failed, the rest of a delivery waits: the cursor must not leap over it.
            going = [share for share in shares if share.delivery.id not in left]
            if asyncio.get_running_loop().time() > until:
                left |= {share.delivery.id for share in going}
                await self._put_back(going)
            elif going:
                left |= await self._slice(going)
                await asyncio.sleep(0)

    def _apart(self, every: Iterable[One], name: Callable[[One], str]) -> Iterator[list[One]]:
        """Set apart, in their order, what is suspected; the rest stays together."""
        for _, some in groupby(every, lambda one: name(one) if name(one) in self._suspects else ""):
            yield list(some)

    async def _put_back(self, shares: Sequence[Share], wait: timedelta | None = None) -> None:
        """Give back what cannot be decided now without counting it as a failure, in its old place or after ``wait``."""
        for share in shares:
            untouched = replace(share.progress(), cursor=share.first, done=False)
            with contextlib.suppress(Conflict):
                async with self._store.slice() as tx:
                    await tx.write(SliceChanges(progress=[untouched]))
                    due = share.delivery.received_at if wait is None else tx.now + wait
                await self._store.release_delivery(share.delivery, due)

    async def _read(self, delivery: Delivery) -> Notice | None:
        try:
            if len(delivery.body) >= THREAD_FROM:
                return await asyncio.to_thread(self._parse, delivery.source, delivery.body)
            return self._parse(delivery.source, delivery.body)
        except Exception as error:  # noqa: BLE001 - whatever a body does to the parser, it is set aside, not fatal
            await self._failed(delivery, error)
            return None

    async def _slice(self, shares: Sequence[Share]) -> set[str]:
        """Decide one slice; when it fails as a whole, delivery by delivery, so that only the bad one stays behind.

        Returns the deliveries that stay behind.
        """
        try:
            await self._with_retries(shares)
        except Unavailable as error:
            await self._suspect(shares, error)
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not keep other deliveries from being decided
            return await self._one_by_one(shares, error)
        self._suspects.clear(share.delivery.id for share in shares)
        return set()

    async def _suspect(self, shares: Sequence[Share], error: Unavailable) -> None:
        """Note what the store failed of; when that was one delivery, again, it waits, and the others do not."""
        self._suspects.strike(share.delivery.id for share in shares)
        if len(shares) == 1 and self._suspects.wait(shares[0].delivery.id):
            with contextlib.suppress(StoreError):  # then it is given back with all others
                await self._failed(shares[0].delivery, error)

    async def _with_retries(self, shares: Sequence[Share]) -> None:
        for attempt in range(CONFLICTS):
            try:
                await self._decide(shares)
            except Conflict:
                if attempt == CONFLICTS - 1:
                    raise
                await asyncio.sleep(0.01 * 2**attempt)
            else:
                return

    async def _one_by_one(self, shares: Sequence[Share], error: Exception) -> set[str]:
        if len(shares) == 1:
            if isinstance(error, Conflict):
                self._suspects.strike([shares[0].delivery.id])
            await self._failed(shares[0].delivery, error)
            return {shares[0].delivery.id}
        behind: set[str] = set()
        for share in shares:
            behind |= await self._slice([share])
        return behind

    async def _decide(self, shares: Sequence[Share]) -> None:
        async with self._store.slice() as tx:
            decided = await decide_deliveries(tx, shares, self._desk())
            now = tx.now
        self._emit(decided)
        for share, progress in zip(shares, decided.changes.progress, strict=True):
            # An answer may be some seconds old when it is accepted: that says nothing about how quick we are.
            if progress.done and not share.notice.asked_for:
                seconds = (now - share.delivery.received_at).total_seconds()
                self._on_fact(
                    "delivery_decided", delivery=share.delivery.id, source=share.delivery.source, seconds=seconds
                )

    async def _failed(self, delivery: Delivery, error: Exception) -> None:
        """Give a delivery back for another try, or set it aside after too many, where people see it.

        What the store's failure or another slice has cut short is no attempt: the delivery may be good.
        """
        reason = f"{type(error).__name__}: {error}"
        self._on_fact("delivery_failed", delivery=delivery.id, source=delivery.source, error=reason)
        if isinstance(error, Conflict | Unavailable):
            await self._release(delivery, self._suspects.wait(delivery.id), counted=False)
            return
        if delivery.attempts < MAX_ATTEMPTS:
            await self._release(delivery, BACK_OFF * 2**delivery.attempts)
            return
        with contextlib.suppress(Conflict):
            await self._set_aside(delivery, reason)

    async def _release(self, delivery: Delivery, back_off: timedelta, *, counted: bool = True) -> None:
        # Without the lease there is nothing to give back: whoever has it now decides.
        with contextlib.suppress(Conflict):
            async with self._store.slice() as tx:
                now = tx.now
            await self._store.release_delivery(delivery, now + back_off, counted=counted)

    async def _set_aside(self, delivery: Delivery, reason: str) -> None:
        rules = self._rules()
        async with self._store.slice() as tx:
            incident = unreadable(delivery, reason, tx.now)
            await tx.write(
                SliceChanges(
                    incidents=[incident],
                    tell={incident.id: frozenset({rules.page} if rules.page else ())},
                    progress=[DeliveryProgress(delivery.id, delivery.epoch, delivery.cursor, done=False, dead=reason)],
                    audit=[
                        Audit("delivery.dead", delivery.id, details={"reason": reason}),
                        Audit("incident.opened", incident.id),
                    ],
                ),
            )
        self._on_fact("delivery_dead", delivery=delivery.id, source=delivery.source, error=reason)
        self._notify("outbox")

    # --- both ---------------------------------------------------------------------------------------------------

    def _desk(self) -> Desk:
        return Desk(self._rules(), self._library(), self._memory)

    def _emit(self, decided: Decided) -> None:
        for name, fields in decided.facts:
            self._on_fact(name, **fields)
        if decided.changes.runs:
            self._notify("runs")
        if decided.changes.tell:
            self._notify("outbox")

    def _notify(self, queue: Queue) -> None:
        if self._wake is not None:
            self._wake.notify(queue)


def packed(readable: Iterable[tuple[Delivery, Notice]]) -> Iterator[list[Share]]:
    """Pack the undecided alerts of deliveries, in their order, into slices; a large delivery fills several."""
    slice_: list[Share] = []
    room = SLICE
    for delivery, notice in readable:
        first = min(delivery.cursor, len(notice.alerts))
        while True:
            alerts = notice.alerts[first : first + room]
            slice_.append(Share(delivery, notice, first, alerts))
            first += len(alerts)
            room -= len(alerts)
            if room > 0:
                break
            yield slice_
            slice_, room = [], SLICE
            if first >= len(notice.alerts):
                break
    if slice_:
        yield slice_


def unreadable(delivery: Delivery, reason: str, now: datetime) -> Incident:
    """Return the incident that tells people of a delivery that could not be read."""
    return Incident(
        id=new_id(),
        source=delivery.source,
        receiver="",
        group_key=f"delivery {delivery.id}",
        group_labels={"alertname": "a delivery could not be read", "delivery": delivery.id},
        external_url="",
        severity=Severity.HIGH,
        opened_at=now,
        needs_person=f"Delivery {delivery.id} from {delivery.source} could not be read and was set aside: {reason}",
    )
