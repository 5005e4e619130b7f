"""Whatever Apprise speaks to: each change of state as a title and plain text."""

from collections.abc import Mapping

from responder.clients.apprise_services import AppriseService
from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Receipt
from responder.notifiers.states import body, head, links, on_change, on_the_way
from responder.notifiers.text import cut

TITLE, BODY = 200, 3500
"""Characters: most of the services take 4,000 and more, and Apprise cuts for those that take less."""


class AppriseNotifier:
    """Sends to the services that the configuration names."""

    kind = "apprise"

    def __init__(self, services: Mapping[str, AppriseService]) -> None:
        """``services`` by name."""
        self._services = dict(services)

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Send a message when the state has changed."""
        service = self._services.get(address)
        if service is None:
            raise DeliveryError(f"notify.apprise has no {address!r}", permanent=True)

        async def post(news: Notification, _: int) -> None:
            text = "\n".join([*body(news), *(f"{name}: {url}" for name, url in links(news))])
            await service.send(cut(head(news), TITLE), cut(text, BODY))

        return await on_change(notification, receipt, post)

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        """Say what is known while a message is on its way."""
        return on_the_way(notification, receipt)

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """Apprise sends, and asks nobody."""
        return None
