"""The pictures of incidents: rows of the outbox beside those of their messages, which they never hold up.

What is handed over is announced by its id before it is shown, and the channel shows it once, however often it is
asked: a process that was killed in between shows nothing twice.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from responder.domain.errors import DeliveryError, NotYet
from responder.domain.notification import END, Notification, Receipt
from responder.ports.clock import Clock
from responder.ports.notifier import Destination, Pictures
from responder.ports.queues import PICTURES
from responder.ports.store import Outbox, OutboxItem
from responder.tell.facts import OnFact
from responder.tell.lanes import Lane, back_off
from responder.tell.way import Way

SECONDS = 15.0
"""Everything for one picture: the lease is 30 s."""
TRIES = 4
"""Fewer than make a dead letter: a picture is nobody's to bring back."""
PATIENCE = 5.0
"""Seconds that a picture gives way to acting."""
LOOK = timedelta(seconds=15)
"""So long the last look is waited for; without it the picture shows what is known."""
REST = timedelta(seconds=10)
REMEMBERED = 10_000


class Gallery:
    """Shows an incident's chart where a channel can: when there is one, and when it has come to an end."""

    def __init__(
        self, store: Outbox, clock: Clock, pictures: Mapping[str, Pictures], on_fact: OnFact, way: Way | None = None
    ) -> None:
        """``pictures`` are keyed by the kind of the channel; ``way`` says when acting is behind."""
        self._store = store
        self._clock = clock
        self._pictures = pictures
        self._on_fact = on_fact
        self._way = way or Way()
        self._opened: dict[tuple[str, str], None] = {}

    async def open(self, item: OutboxItem, news: Notification) -> None:
        """See to it that a message's picture is shown, once there is one; raises StoreError."""
        key, destination = (item.incident_id, item.destination), Destination.parse(item.destination)
        shows = self._pictures.get(destination.kind)
        if news.picture is None or shows is None or not shows.on or key in self._opened:
            return
        await self._store.beside(item.incident_id, f"{destination.kind}{PICTURES}:{destination.address}")
        self._opened[key] = None
        if len(self._opened) > REMEMBERED:
            del self._opened[next(iter(self._opened))]

    async def tell(self, lane: Lane, item: OutboxItem, news: Notification | None) -> None:
        """Show what is to be shown now; raises StoreError."""
        receipt = dict(item.receipt or {})
        shows = self._pictures.get(lane.destination.kind.removesuffix(PICTURES))
        picture = news.picture if news is not None else None
        done = _shown(receipt)
        if shows is None or not shows.on or news is None or picture is None or done & {picture.state, END}:
            await self._store.told(item, receipt, REST)
            return
        if not item.attempt and picture.stale and "looked" not in receipt:
            await self._store.look_again(item.incident_id)
            await self._store.tell_later(item, self._clock.now() + LOOK, "", {**receipt, "looked": True})
            return
        own = f"{lane.destination.kind.removesuffix(PICTURES)}:{lane.destination.address}"
        below = await self._store.receipt(item.incident_id, own)
        if below is None:  # a digest tells of it, or nobody yet: what tells it next brings this about again
            await self._store.told(item, receipt, REST)
            return
        await self._way.clear(PATIENCE)
        state = item.attempt.partition(" ")[0] or picture.state
        problem: DeliveryError | None = None
        try:
            async with asyncio.timeout(SECONDS):
                await self._show(shows, item, news, below)
        except TimeoutError:
            problem = DeliveryError(f"no answer within {SECONDS:g} s", uncertain=True)
        except DeliveryError as error:
            problem = error
        if problem is not None and await self._later(lane, item, problem):
            return
        lane.worked(self._clock.monotonic())
        receipt["shown"] = [*sorted(done | {state})]
        if problem is None:
            self._on_fact("picture_shown", destination=item.destination, incident=item.incident_id, state=state)
        else:
            self._on_fact("picture_left", destination=item.destination, incident=item.incident_id, error=str(problem))
        if item.attempt:  # it may have been the one before
            await self._store.tell_later(item, self._clock.now(), "", receipt)
        else:
            await self._store.told(item, receipt, REST)

    async def _show(self, shows: Pictures, item: OutboxItem, news: Notification, below: Receipt) -> None:
        """Hand over and show; what a killed process has handed over is only shown."""
        handed = item.attempt.partition(" ")[2]
        if not handed:
            handed = await shows.prepare(news)
            state = news.picture.state if news.picture is not None else ""
            await self._store.announce(item, f"{state} {handed}")
        await shows.share(news, below, handed)

    async def _later(self, lane: Lane, item: OutboxItem, problem: DeliveryError) -> bool:
        """Put a failed one off; False when it is left at that."""
        now = self._clock.monotonic()
        if problem.retry_after is not None:
            if not isinstance(problem, NotYet):
                lane.wait(now, problem.retry_after.total_seconds())
            await self._store.tell_later(item, self._clock.now() + problem.retry_after, "")
            return True
        if problem.permanent or problem.gone or item.attempts >= TRIES:
            return False
        lane.failed(now, 0.0)
        seconds = 4 * back_off(item.attempts, 0.0)
        await self._store.tell_later(item, self._clock.now() + timedelta(seconds=seconds), str(problem))
        return True


def _shown(receipt: Receipt) -> frozenset[str]:
    """Return the states whose picture has been shown."""
    found = receipt.get("shown")
    return frozenset(str(one) for one in found) if isinstance(found, list) else frozenset()


def is_picture(destination: Destination) -> bool:
    """Say whether an outbox row is that of a picture."""
    return destination.kind.endswith(PICTURES)
