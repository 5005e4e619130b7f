"""Everything that Apprise speaks to, by its URLs. Apprise is an extra: ``pip install 'alert-responder[apprise]'``."""

import asyncio
import logging
from importlib.util import find_spec
from typing import Any

from responder.domain.errors import DeliveryError, SettingsError

SECONDS = 15.0
"""Apprise calls its services in threads, which nobody can stop; after this nobody waits for them."""


def check_apprise() -> None:
    """Raise SettingsError unless Apprise is installed."""
    if find_spec("apprise") is None:
        raise SettingsError("notify.apprise: Apprise is not installed; pip install 'alert-responder[apprise]'")


class AppriseService:
    """One service. Raises DeliveryError."""

    def __init__(self, name: str, url: str) -> None:
        """``url`` is Apprise's own, with its credentials; errors hold ``name`` only."""
        self._name = name
        self._url = url
        self._made: Any = None

    async def send(self, title: str, body: str) -> None:
        """Send one message."""
        service = await asyncio.to_thread(self._service)  # it takes a second to load what Apprise knows
        try:
            async with asyncio.timeout(SECONDS):
                sent = await service.async_notify(title=title, body=body, body_format="text")
        except TimeoutError as error:
            raise DeliveryError(f"{self._name} did not answer within {SECONDS:g} s", uncertain=True) from error
        except Exception as error:  # a plugin may fail anywhere
            raise DeliveryError(f"{self._name}: {type(error).__name__}", uncertain=True) from error
        if not sent:
            raise DeliveryError(f"{self._name}: Apprise could not deliver it; its log line says more", uncertain=True)

    def _service(self) -> Any:  # noqa: ANN401 - Apprise's own class
        if self._made is None:
            import apprise

            logging.getLogger("apprise").setLevel(logging.WARNING)  # below that it logs URLs with their credentials
            made = apprise.Apprise()
            if not made.add(self._url):
                raise DeliveryError(f"{self._name}: Apprise does not know this kind of URL", permanent=True)
            self._made = made
        return self._made
