"""What stands before every channel: nothing passes that nobody outside is to see."""

from responder.domain.errors import DeliveryError
from responder.domain.notification import Account, Notification, Receipt
from responder.domain.retold import retold
from responder.ports.notifier import Notifier, Pictures, WithoutEdits
from responder.telemetry import Redactor
from responder.tell.veil import outside, veiled, without_labels


def masked(notifier: Notifier, redactor: Redactor) -> Notifier:
    """Return what stands before ``notifier``: it is shown no secret, and its errors hold none."""
    kind = _MaskedWithoutEdits if isinstance(notifier, WithoutEdits) else _Masked
    return kind(notifier, redactor)


class _Masked:
    def __init__(self, notifier: Notifier, redactor: Redactor) -> None:
        self._notifier = notifier
        self._redactor = redactor

    @property
    def kind(self) -> str:
        """As the notifier's."""
        return self._notifier.kind

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Deliver what may be shown."""
        try:
            return await self._notifier.deliver(self._shown(notification), address, receipt, attempt)
        except DeliveryError as error:
            raise _said(error, self._redactor) from error.__cause__

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """As the notifier."""
        try:
            return await self._notifier.find(address, attempt)
        except DeliveryError as error:
            raise _said(error, self._redactor) from error.__cause__

    def _shown(self, notification: Notification) -> Notification:
        clean = self._redactor.clean(repr(notification))
        return notification if clean else retold(notification, self._redactor.redact)


class _MaskedWithoutEdits(_Masked):
    """The same before a channel without edits: the courier knows one by what it has."""

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        """As the notifier, of what may be shown."""
        assert isinstance(self._notifier, WithoutEdits)  # noqa: S101 - masked() has looked
        return self._notifier.on_the_way(self._shown(notification), address, receipt)


class MaskedPictures:
    """What shows pictures, and is shown no secret."""

    def __init__(self, pictures: Pictures, redactor: Redactor) -> None:
        """Stand before ``pictures``."""
        self._pictures = pictures
        self._redactor = redactor

    @property
    def on(self) -> bool:
        """As what it stands before."""
        return self._pictures.on

    async def prepare(self, notification: Notification) -> str:
        """Draw what may be shown."""
        try:
            return await self._pictures.prepare(retold(notification, self._redactor.redact))
        except DeliveryError as error:
            raise _said(error, self._redactor) from error.__cause__

    async def share(self, notification: Notification, below: Receipt, picture: str) -> None:
        """Show it, under a title that may be shown."""
        try:
            await self._pictures.share(retold(notification, self._redactor.redact), below, picture)
        except DeliveryError as error:
            raise _said(error, self._redactor) from error.__cause__


class Curtain:
    """The veil of the courier: secrets go before anything is cut to length, for half of one would not be known."""

    def __init__(self, redactor: Redactor) -> None:
        """Keep out what ``redactor`` knows."""
        self._redactor = redactor

    def before(self, account: Account) -> Account:
        """Return the account without secrets."""
        clean = self._redactor.clean("\n".join(outside(account)))
        return account if clean else veiled(account, self._redactor.redact)

    def after(self, news: Notification, account: Account) -> Notification:
        """Return the message without the values of hidden labels."""
        return without_labels(news, account, self._redactor.labels)


def _said(error: DeliveryError, redactor: Redactor) -> DeliveryError:
    error.args = tuple(redactor.redact(str(one)) for one in error.args)
    return error
