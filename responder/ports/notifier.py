"""The notifier contract: post an incident's message once, then edit it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable

from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Receipt


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an incident is told: ``slack:#oncall``, ``pagerduty:payments``, ``console:``."""

    kind: str
    address: str

    def __str__(self) -> str:
        """``kind:address``, as the outbox keeps it."""
        return f"{self.kind}:{self.address}"

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Read what ``str`` wrote."""
        kind, _, address = text.partition(":")
        return cls(kind, address)


class PartlyDelivered(DeliveryError):
    """The message arrived, what goes with it is behind; ``receipt`` is what was told."""

    def __init__(
        self, message: str, receipt: Receipt, *, retry_after: timedelta | None = None, uncertain: bool = False
    ) -> None:
        """Keep the receipt for the next edit."""
        super().__init__(message, retry_after=retry_after, uncertain=uncertain)
        self.receipt = receipt


class Pictures(Protocol):
    """A channel that shows pictures below a message. Methods raise DeliveryError; nothing else leaves them."""

    @property
    def on(self) -> bool:
        """Whether it can, as far as is known: a right that turned out to be missing ends it."""
        ...

    async def prepare(self, notification: Notification) -> str:
        """Draw the picture and hand it over, where nobody sees it yet; returns its id."""
        ...

    async def share(self, notification: Notification, below: Receipt, picture: str) -> None:
        """Show what was handed over below a message; the channel takes that once, however often it is asked."""
        ...


class Notifier(Protocol):
    """One channel. Every method raises DeliveryError; nothing else leaves it."""

    @property
    def kind(self) -> str:
        """The word before the colon of its destinations."""
        ...

    async def deliver(
        self,
        notification: Notification,
        address: str,
        receipt: Receipt | None,
        attempt: str,
    ) -> Receipt:
        """Post (no receipt) or edit (receipt) and return the receipt for the next edit.

        ``attempt`` is the id under which a first post was announced in the outbox; the message carries it where the
        channel has room, so that ``find`` can recognise it.
        """
        ...

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """Look for a first post whose answer was lost; None when the channel does not have it or cannot tell."""
        ...


@runtime_checkable
class WithoutEdits(Protocol):
    """A channel where whatever is sent is there for good, and cannot be looked for.

    Each of its messages is announced in the outbox: one whose answer was lost may be the last that anybody read.
    """

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        """Return the receipt to keep while a message is on its way; None when ``deliver`` would send none.

        Given to ``deliver`` later, such a receipt says that nobody can tell whether that message arrived.
        """
        ...
