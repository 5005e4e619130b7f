"""Charts in Slack: each is a file in the thread of its incident's message."""

import asyncio
from collections.abc import Callable, Sequence

from responder.clients.slack import SlackClient
from responder.domain.chart import Shape, shapes
from responder.domain.errors import DeliveryError
from responder.domain.notification import END, Notification, Receipt
from responder.notifiers.text import line

LARGEST = 500_000
"""Bytes; a chart has some ten thousand."""
WORDS = 500


class SlackPictures:
    """Uploads charts as PNG and shares each once (``ports.notifier.Pictures``)."""

    def __init__(self, client: SlackClient, draw: Callable[[Sequence[Shape]], bytes]) -> None:
        """``draw`` paints a chart."""
        self._client = client
        self._draw = draw
        self._on = True

    @property
    def on(self) -> bool:
        """Until Slack says that the app may upload nothing; a reload or a restart asks it again."""
        return self._on

    async def prepare(self, notification: Notification) -> str:
        """Draw and upload; nobody sees it yet."""
        if notification.picture is None:
            raise DeliveryError("there is no chart", permanent=True)
        drawn = shapes(notification.picture.chart)
        try:
            data = await asyncio.to_thread(self._draw, drawn)
        except Exception as error:  # whatever a drawing library says of a chart, the message is told without it
            raise DeliveryError(f"the chart cannot be painted: {error}", permanent=True) from error
        if not 0 < len(data) <= LARGEST:
            raise DeliveryError(f"the chart has {len(data)} bytes", permanent=True)
        try:
            return await self._client.upload("chart.png", data, line(_title(notification), WORDS))
        except DeliveryError as error:
            self._on = self._on and not error.permanent
            raise

    async def share(self, notification: Notification, below: Receipt, picture: str) -> None:
        """Show an upload in the thread."""
        channel, ts = below.get("channel"), below.get("ts")
        if not isinstance(channel, str) or not isinstance(ts, str):
            raise DeliveryError("the receipt names no message", permanent=True)
        await self._client.share(picture, line(_title(notification), WORDS), channel, ts)


def _title(news: Notification) -> str:
    if news.picture is None:
        return news.title
    when = "at the end" if news.picture.state == END else "so far"
    return f"{news.picture.chart.title} {when}"
