"""Slack without an app of one's own: each change of state through an incoming webhook, which can edit nothing."""

import asyncio
import json
from collections.abc import Mapping

from responder.clients.posting import Poster
from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Receipt
from responder.notifiers.slack_blocks import blocks, fallback
from responder.notifiers.states import on_change, on_the_way

POST_EVERY = 1.1
"""Seconds between two posts: a webhook takes about one a second (docs.slack.dev, rate limits)."""


class SlackWebhookNotifier:
    """Posts to the webhooks that the configuration names, each bound to its channel."""

    kind = "slack_webhook"

    def __init__(self, webhooks: Mapping[str, Poster], *, post_every: float = POST_EVERY) -> None:
        """``webhooks`` are what posts, by name."""
        self._webhooks = dict(webhooks)
        self._post_every = post_every
        self._free_at: dict[str, float] = {}

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Post the message when its state has changed."""
        poster = self._webhooks.get(address)
        if poster is None:
            raise DeliveryError(f"notify.slack_webhook has no {address!r}", permanent=True)

        async def post(news: Notification, _: int) -> None:
            await self._space(address)
            message = {"text": fallback(news), "blocks": list(blocks(news))}
            await poster.post(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"), {})
            self._free_at[address] = asyncio.get_running_loop().time() + self._post_every  # it may have been slow

        return await on_change(notification, receipt, post)

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        """Say what is known while a message is on its way."""
        return on_the_way(notification, receipt)

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """A webhook answers "ok" and nothing that could be found again."""
        return None

    async def _space(self, address: str) -> None:
        """Wait until the channel takes another post."""
        now = asyncio.get_running_loop().time()
        free_at = max(now, self._free_at.get(address, 0.0))
        self._free_at[address] = free_at + self._post_every
        if free_at > now:
            await asyncio.sleep(free_at - now)
