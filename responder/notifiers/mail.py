"""E-mail: a thread for each incident, a message for each change of state or for final states alone."""

import hashlib
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from responder.clients.mail import Mailer
from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Receipt
from responder.notifiers.states import body, head, links, on_change, on_the_way, state_of
from responder.notifiers.text import cut

SUBJECT = 200
"""Characters: a line of a header may have 998, and people read the first fifty."""


class MailNotifier:
    """Writes to the addresses of the routes; a thread is told by ``References``, as RFC 5322 says."""

    kind = "email"

    def __init__(self, mailer: Mailer, sender: str, *, final_only: bool = False) -> None:
        """``final_only`` says nothing of what passes by itself: firing, fixing, undoing."""
        self._mailer = mailer
        self._sender = sender
        self._final_only = final_only

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Send a mail when the state has changed."""

        async def post(news: Notification, number: int) -> None:
            message = self._message(news, address, number)
            await self._mailer.send(message, self._sender, address)

        return await on_change(notification, receipt, post, final_only=self._final_only)

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        """Say what is known while a message is on its way."""
        return on_the_way(notification, receipt, final_only=self._final_only)

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """Nobody's mailbox can be looked into; what is sent again carries the id that it had."""
        return None

    def _message(self, news: Notification, recipient: str, number: int) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        domain = self._sender.rpartition("@")[2]
        root = _id(f"{news.incident_id}/{recipient}", domain)
        own = root if number == 0 else _id(f"{news.incident_id}/{recipient}/{number}/{state_of(news)}", domain)
        try:
            message["From"] = Address("responder", addr_spec=self._sender)
            message["To"] = Address(addr_spec=recipient)
        except (ValueError, IndexError) as error:
            raise DeliveryError(f"{recipient[:100]!r} is no e-mail address", permanent=True) from error
        message["Subject"] = cut(head(news), SUBJECT)
        message["Message-ID"] = own
        if number:
            message["In-Reply-To"] = root
            message["References"] = root
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is told to a machine
        message["X-Responder-Incident"] = hashlib.sha256(news.incident_id.encode()).hexdigest()[:16]
        if number == 0:
            message["X-Responder-Since"] = format_datetime(news.since)
        shown = [f"{text}: {url}" for text, url in links(news)]
        message.set_content("\n".join([head(news), "", *body(news), "", *shown, ""]))
        return message


def _id(named: str, domain: str) -> str:
    """Return a Message-ID that is the same whenever this message is sent."""
    return f"<{hashlib.sha256(named.encode(errors='replace')).hexdigest()[:32]}@{domain}>"
