"""Sending: a message is edited where it is known to be, else posted, and nothing is posted before it is committed."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from responder.domain.errors import DeliveryError
from responder.domain.ids import new_id
from responder.domain.notification import Notification, Receipt, repeated
from responder.ports.notifier import Destination, Notifier, WithoutEdits
from responder.ports.store import Outbox, OutboxItem
from responder.tell.facts import OnFact


@runtime_checkable
class Partly(Protocol):
    """A delivery error after the message itself arrived: ``receipt`` is kept, the rest is sent again."""

    @property
    def receipt(self) -> Receipt:
        """What was told."""
        ...


@dataclass(frozen=True, slots=True)
class Sending:
    """Hands messages to their channels, each announced in the store where it may be asked for again."""

    _store: Outbox
    _on_fact: OnFact

    async def deliver(self, notifier: Notifier, item: OutboxItem, news: Notification) -> Receipt:
        """Edit what is known to be there; otherwise post, after the attempt is committed. Raises DeliveryError."""
        address = Destination.parse(item.destination).address
        if isinstance(notifier, WithoutEdits):
            return await self._post(notifier, notifier.on_the_way(news, address, item.receipt), address, item, news)
        receipt = item.receipt
        if item.attempt:
            receipt = await notifier.find(address, item.attempt)
            if receipt is None:
                self._on_fact("told_again", destination=item.destination, incident=item.incident_id)
                return await notifier.deliver(repeated(news), address, None, item.attempt)
        if receipt is not None:
            try:
                return await notifier.deliver(news, address, receipt, item.attempt)
            except DeliveryError as error:
                if not error.gone:
                    raise
                self._on_fact("message_gone", destination=item.destination, error=str(error))
        return await self._first_post(notifier, address, item, news)

    async def _post(
        self, notifier: Notifier, on_the_way: Receipt | None, address: str, item: OutboxItem, news: Notification
    ) -> Receipt:
        """Post what cannot be edited, after it is committed what may be on its way."""
        if on_the_way is None:
            return await notifier.deliver(news, address, item.receipt, item.attempt)
        if item.attempt:
            self._on_fact("told_again", destination=item.destination, incident=item.incident_id)
        attempt = item.attempt or new_id()
        await self._store.announce(item, attempt, on_the_way)
        try:
            return await notifier.deliver(news, address, item.receipt, attempt)
        except DeliveryError as error:
            if not error.uncertain and not isinstance(error, Partly):
                await self._store.announce(item, item.attempt, item.receipt or {})
            raise

    async def _first_post(self, notifier: Notifier, address: str, item: OutboxItem, news: Notification) -> Receipt:
        attempt = new_id()
        await self._store.announce(item, attempt)
        try:
            return await notifier.deliver(news, address, None, attempt)
        except DeliveryError as error:
            if not error.uncertain and not isinstance(error, Partly):
                # It certainly did not arrive: there is nothing to look for, and no repetition to mark.
                await self._store.announce(item, "")
            raise
