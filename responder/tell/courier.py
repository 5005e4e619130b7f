"""The courier: takes what is behind in the outbox, composes it from the state now, and tells it, once per message."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from responder.domain.errors import DeliveryError, NotYet, StoreError
from responder.domain.notification import Account, Notification, Receipt
from responder.ports.clock import Clock
from responder.ports.notifier import Destination, Notifier, Pictures
from responder.ports.queues import GAP
from responder.ports.store import DIGEST, Gathered, Outbox, OutboxItem
from responder.tell.ahead import Ahead
from responder.tell.compose import compose
from responder.tell.digest import KINDS as DIGESTS
from responder.tell.digest import LOOK, PAUSE_SECONDS, Storm, alone, compose_digest, gathered, line_of
from responder.tell.digest import READ as DIGEST_LINES
from responder.tell.digest import REST as DIGEST_REST
from responder.tell.docs import DocsOf
from responder.tell.facts import OnFact
from responder.tell.gallery import Gallery, is_picture
from responder.tell.lanes import Lane, back_off
from responder.tell.sending import Partly, Sending
from responder.tell.veil import NoVeil, Veil
from responder.tell.way import Way

BATCH = 16
"""Items of one claim."""
CROWD = 100
"""Items of one destination that are gathered into a digest at once, when acting leaves the time."""
AT_A_TIME = 16
"""So many of them are read and composed in one go; between two, acting has its turn."""
FEW = 2
"""Items of a claim while acting is behind: the most severe go on."""
CLAIM_PATIENCE = 0.4
"""Seconds that a claim gives way to acting: a first message leaves within a second."""
GATHER_PATIENCE = 5.0
"""Seconds that gathering gives way: a digest is edited every 15 s, and who is needed is never told in one."""
TURN_SECONDS = 20.0
"""Everything that is sent for one item; with what it waited for its lane it stays within the lease of 30 s."""
START_WITHIN_SECONDS = 8.0
"""An item whose turn has not begun by then is handed back: its lease would not last."""
ITEM_PATIENCE = 4.0
"""An item that failed waits so many times longer than its lane, so that it does not block the others behind it."""
REMEMBERED = 10_000
"""Items of which a process knows how often their channel failed them."""


SEEN = "seen"
"""Where a receipt keeps what the message showed (``digest``), beside what the channel keeps in it."""
LONGEST_REST = timedelta(seconds=10)
"""Between two tellings of an incident of ten thousand alerts to one destination; of a few it is ``GAP``."""


AccountNow = Callable[[], Awaitable[Account | None]]
"""Reads how an incident stands."""


class Courier:
    """Tells every destination side by side, each one thing at a time."""

    def __init__(
        self,
        store: Outbox,
        clock: Clock,
        notifiers: Mapping[str, Notifier],
        *,
        docs_of: DocsOf,
        external_url: str,
        on_fact: OnFact,
        on_free: Callable[[], None] = lambda: None,
        veil: Veil | None = None,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        turn_seconds: float = TURN_SECONDS,
        storm: Callable[[], Storm | None] = lambda: None,
        way: Way | None = None,
        pager: Callable[[], str] = lambda: "",
        pictures: Mapping[str, Pictures] | None = None,
        early: Callable[[str, Account], bool] = lambda _, __: False,
    ) -> None:
        """``notifiers`` are keyed by kind; ``on_free`` is called when a destination can be told again.

        ``storm`` says when incidents are told in a digest; None: never. ``veil`` keeps out of messages what nobody
        outside is to see. ``way`` says when acting is behind; without one, telling gives way to nothing. ``pager`` is
        the destination that hears of an incident only once a person is needed, empty for none. ``pictures`` are the
        channels that show one, by kind. ``early`` says of a destination that it is not to hear of an incident yet.
        """
        self._early = early
        self._gallery = Gallery(store, clock, pictures or {}, on_fact, way)
        self._pager = pager
        self._way = way or Way()
        self._storm = storm
        self._store = store
        self._sending = Sending(store, on_fact)
        self._clock = clock
        self._notifiers = notifiers
        self._docs_of = docs_of
        self._external_url = external_url
        self._on_fact = on_fact
        self._on_free = on_free
        self._veil = veil or NoVeil()
        self._jitter = jitter
        self._sleep = sleep
        self._turn_seconds = turn_seconds
        self._lanes: dict[str, Lane] = {}
        self._alarms: dict[str, asyncio.TimerHandle] = {}
        self._cut_short: list[OutboxItem] = []
        """Items whose turn the store has cut short: that is not to wear them out."""
        self._failed: dict[tuple[str, str], tuple[int, int]] = {}

    async def turn(self) -> int:
        """Claim what may be told now and begin telling it; returns how much was claimed."""
        most = BATCH if await self._way.clear(CLAIM_PATIENCE) else FEW
        if self._cut_short:
            spared = list(self._cut_short)
            await self._store.spare(spared)
            del self._cut_short[: len(spared)]
        now = self._clock.monotonic()
        self._forget_idle(now)
        closed = [name for name, lane in self._lanes.items() if lane.closed(now)]
        items = await self._store.claim_outbox(most, closed)
        by_lane: dict[str, list[OutboxItem]] = {}
        for item in items:
            by_lane.setdefault(item.destination, []).append(item)
        for name, batch in by_lane.items():
            lane = self._lanes.setdefault(name, Lane(Destination.parse(name)))
            lane.task = asyncio.create_task(self._tell_lane(lane, batch, now), name=f"tell {lane.destination.kind}")
        return len(items)

    async def drain(self) -> None:
        """Wait for what is in flight; nothing new is claimed here."""
        while tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.wait(tasks)
        for alarm in self._alarms.values():
            alarm.cancel()
        self._alarms.clear()

    def _forget_idle(self, now: float) -> None:
        for name in [name for name, lane in self._lanes.items() if not lane.closed(now) and not lane.failures]:
            del self._lanes[name]

    async def _tell_lane(self, lane: Lane, items: Sequence[OutboxItem], claimed: float) -> None:
        """Tell one destination its items, in order, at its pace; what there is no time for is handed back."""
        held = list(items)
        try:
            items, crowded = await self._gathered(lane, items, held)
            if crowded and not items:
                lane.wait(self._clock.monotonic(), PAUSE_SECONDS)
            ahead = Ahead(self._store, self._clock, items, one_by_one=lane.pace > 0)
            for place, item in enumerate(items):
                delay = max(0.0, lane.free_at - self._clock.monotonic())
                if self._clock.monotonic() + delay - claimed > START_WITHIN_SECONDS:
                    await self._store.tell_later(item, self._clock.now(), "")
                    continue
                if delay:
                    await self._sleep(delay)
                await self._tell_guarded(lane, item, partial(ahead.account, place))
        except StoreError as error:
            # The leases of the rest run out; what was sent without being noted is found again or edited again.
            self._cut_short += held
            self._on_fact("tell_waits_for_store", destination=str(lane.destination), error=str(error))
        finally:
            lane.task = None
            self._announce_free(lane)

    async def _gathered(
        self, lane: Lane, items: Sequence[OutboxItem], held: list[OutboxItem]
    ) -> tuple[Sequence[OutboxItem], bool]:
        """Let a digest tell of what needs no message of its own; returns the rest, and whether there was any.

        What is claimed for that comes to what is ``held``.
        """
        storm, name = self._storm(), str(lane.destination)
        without = [item for item in items if gathered(item) or (item.receipt is None and not item.attempt)]
        candidates = [item for item in without if not item.incident_id.startswith(DIGEST)]
        if not candidates or lane.destination.kind not in DIGESTS or lane.destination.kind not in self._notifiers:
            return items, False
        stays = storm is not None and await self._store.crowded(name, storm.after, storm.within)
        until = self._clock.monotonic() + GATHER_PATIENCE
        if not stays:
            candidates = [item for item in candidates if gathered(item)]
        elif await self._way.clear(GATHER_PATIENCE):
            crowd = await self._store.claim_crowd(name, CROWD)
            held += crowd
            candidates += crowd
        chosen: list[Gathered] = []
        for first in range(0, len(candidates), AT_A_TIME):
            await self._way.clear(until - self._clock.monotonic())
            within = storm.within if storm is not None else Storm().within
            chosen += await self._gather(name, candidates[first : first + AT_A_TIME], within)
        told = {one.item.incident_id for one in chosen if one.line is not None}
        left = {one.item.incident_id: replace(one.item, receipt=None) for one in chosen if one.line is None}
        every = {item.incident_id: item for item in (*items, *candidates)} | left
        return [item for key, item in every.items() if key not in told], bool(told)

    async def _gather(self, name: str, items: Sequence[OutboxItem], within: timedelta) -> Sequence[Gathered]:
        """Let a digest tell of some items; returns those that it has anything to do with."""
        accounts = await self._readable(items)
        chosen: list[Gathered] = []
        for item in items:
            found = self._for_digest(item, accounts.get(item.incident_id))
            chosen += [] if found is None else [found]
            await asyncio.sleep(0)  # composing one takes milliseconds, and somebody may be about to act
        if chosen:
            await self._store.gather(name, chosen, within, LOOK)
        return chosen

    async def _readable(self, items: Sequence[OutboxItem]) -> Mapping[str, Account]:
        """Read the accounts of some items; one that cannot be read is told by itself, and its fault is told there."""
        try:
            return await self._store.accounts([item.incident_id for item in items])
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - a fault of one must not use up all that are gathered with it
            if len(items) == 1:
                return {}
        return {key: account for item in items for key, account in (await self._readable([item])).items()}

    def _composed(self, account: Account, revision: int) -> Notification:
        shown = self._veil.before(account)
        news = compose(shown, revision, self._clock.now(), self._docs_of, self._external_url)
        return self._veil.after(news, account)

    def _for_digest(self, item: OutboxItem, account: Account | None) -> Gathered | None:
        """Return what a digest says of an item; None when it has nothing to do with one."""
        if account is None or (item.receipt is None and self._early(item.destination, account)):
            return None
        try:
            news = self._composed(account, item.want_rev)
        except Exception:  # noqa: BLE001 - whatever is wrong with it is told where it is told by itself
            return None
        if not alone(news):
            return Gathered(item, line_of(news))
        return Gathered(item, None) if gathered(item) else None

    def _announce_free(self, lane: Lane) -> None:
        delay = max(0.0, lane.free_at - self._clock.monotonic())
        name = str(lane.destination)
        if name in self._alarms:
            self._alarms.pop(name).cancel()
        self._alarms[name] = asyncio.get_running_loop().call_later(delay, self._ring, name)

    def _ring(self, name: str) -> None:
        self._alarms.pop(name, None)
        self._on_free()

    async def _tell_guarded(self, lane: Lane, item: OutboxItem, account: AccountNow) -> None:
        """Tell one item; whatever goes wrong with it is written to its row."""
        try:
            await (self._show if is_picture(lane.destination) else self._tell)(lane, item, account)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours costs one message its turn, not its lane
            text = f"{type(error).__name__}: {error}"
            self._on_fact("tell_failed", destination=item.destination, incident=item.incident_id, error=text)
            seconds = ITEM_PATIENCE * back_off(item.attempts, self._jitter())
            await self._store.tell_later(item, self._clock.now() + timedelta(seconds=seconds), text)

    async def _show(self, lane: Lane, item: OutboxItem, account_now: AccountNow) -> None:
        account = await account_now()
        await self._gallery.tell(lane, item, None if account is None else self._composed(account, item.want_rev))

    async def _tell(self, lane: Lane, item: OutboxItem, account_now: AccountNow) -> None:
        notifier = self._notifiers.get(lane.destination.kind)
        if notifier is None:
            await self._give_up(item, f"there is no channel {lane.destination.kind!r}: configure it under notify")
            return
        if item.incident_id.startswith(DIGEST):
            lines = await self._store.digest(item.incident_id, DIGEST_LINES)
            if not lines:
                await self._store.told(item, item.receipt or {}, DIGEST_REST)
                return
            rest = DIGEST_REST
            news = compose_digest(item.incident_id, lines, item.want_rev, item.destination, self._external_url)
        else:
            account = await account_now()
            if account is None:
                await self._give_up(item, "the incident is no longer there")
                return
            rest, news = rest_of(account.size), self._composed(account, item.want_rev)
            if not (item.receipt or item.attempt) and self._waits(item.destination, account, news):
                await self._store.told(item, {}, rest)
                return
        seen = digest(news)
        # Of a message whose edit may have arrived, nobody knows what it shows.
        untouched = not item.attempt and item.attempts <= 1
        if item.receipt is not None and untouched and item.receipt.get(SEEN) == seen:
            await self._store.told(item, item.receipt, rest)
            return
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._turn_seconds):
                receipt = await self._sending.deliver(notifier, item, news)
        except TimeoutError:
            slow = DeliveryError(f"no answer within {self._turn_seconds:g} s", uncertain=True)
            await self._settle(lane, item, slow)
        except DeliveryError as error:
            await self._settle(lane, item, error)
        else:
            await self._gallery.open(item, news)
            await self._store.told(item, {**receipt, SEEN: seen}, rest)
            await self._answered(lane)
            self._told(item, self._clock.monotonic() - started)

    def _waits(self, destination: str, account: Account, news: Notification) -> bool:
        """Say whether a destination that knows nothing of an incident is not to hear of it yet."""
        return (destination == self._pager() and not news.page) or self._early(destination, account)

    async def _answered(self, lane: Lane) -> None:
        """Note that a destination answers; where it did not for a while, nobody waits out a back-off any more."""
        was_broken = lane.broken
        lane.worked(self._clock.monotonic())
        if was_broken:
            hurried = await self._store.hurry(str(lane.destination))
            self._on_fact("destination", destination=str(lane.destination), reachable=True, hurried=hurried)

    def _told(self, item: OutboxItem, seconds: float) -> None:
        self._on_fact(
            "told",
            destination=item.destination,
            incident=item.incident_id,
            revision=item.want_rev,
            seconds=round(seconds, 3),
        )

    async def _settle(self, lane: Lane, item: OutboxItem, error: DeliveryError) -> None:
        """Write down what a failed delivery means: give up, wait for the channel, or try again."""
        receipt = error.receipt if isinstance(error, Partly) else None
        now = self._clock.monotonic()
        if error.permanent:
            await self._answered(lane)
            await self._give_up(item, str(error))
            return
        if isinstance(error, NotYet) and error.retry_after is not None:
            await self._later(item, error.retry_after.total_seconds(), error, failed=False, receipt=None)
            return
        if error.retry_after is not None:
            lane.wait(now, error.retry_after.total_seconds())
            await self._later(item, error.retry_after.total_seconds(), error, failed=False, receipt=receipt)
            return
        # Each process learns of an outage by itself, the row is for all: what a channel does is not counted there.
        was_broken = lane.broken
        lane.failed(now, self._jitter())
        if lane.broken and not was_broken:
            self._on_fact("destination", destination=str(lane.destination), reachable=False, error=str(error))
        seconds = ITEM_PATIENCE * back_off(max(lane.failures, self._failures(item)), self._jitter())
        await self._later(item, seconds, error, failed=not was_broken, receipt=receipt)

    def _failures(self, item: OutboxItem) -> int:
        """Count one more failure of an item by its channel, as far as this process knows; being told begins anew."""
        key = (item.incident_id, item.destination)
        told, before = self._failed.pop(key, (item.told_rev, 0))
        failures = before + 1 if told == item.told_rev else 1
        self._failed[key] = item.told_rev, failures
        if len(self._failed) > REMEMBERED:
            del self._failed[next(iter(self._failed))]
        return failures

    async def _later(
        self, item: OutboxItem, seconds: float, error: DeliveryError, *, failed: bool, receipt: Receipt | None
    ) -> None:
        """Put an item off, which is not counted against it."""
        self._on_fact(
            "tell_later",
            destination=item.destination,
            incident=item.incident_id,
            seconds=round(seconds, 1),
            failed=failed,
            error=str(error),
        )
        at = self._clock.now() + timedelta(seconds=seconds)
        await self._store.tell_later(item, at, "", receipt, doubtful=error.uncertain)

    async def _give_up(self, item: OutboxItem, error: str) -> None:
        self._on_fact("tell_gave_up", destination=item.destination, incident=item.incident_id, error=error)
        await self._store.give_up(item, error)


def digest(news: Notification) -> str:
    """Return what stands for all that a message shows but the time that has passed: an edit of that alone is none."""
    facts = [fact for fact in news.facts if fact[0] not in ("time", "age")]
    entries = [(entry.key, entry.text) for entry in news.entries]
    shown = replace(news, revision=0, fallback="", page="", facts=(), entries=(), labels=None, picture=None)
    paged = bool(news.page)
    text = repr((shown, paged, facts, entries, sorted((news.labels or {}).items())))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def rest_of(size: int) -> timedelta:
    """Return how long a message of so many alerts and runs stays as it is: reading all of them again costs as much."""
    return min(GAP + timedelta(seconds=size // 100 / 10), LONGEST_REST)
