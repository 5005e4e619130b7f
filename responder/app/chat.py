"""Slack's way in: the desk, what answers users, and a Socket Mode connection while an app-level token is configured."""

import asyncio
from collections.abc import Callable, Mapping

from pydantic import JsonValue

from responder.clients.slack import SlackClient
from responder.clients.slack_replies import SlackReplies
from responder.clients.slack_socket import Envelope, SlackSocket
from responder.settings import Settings, SlackSettings
from responder.web.parts import Parts
from responder.web.slack.desk import Desk
from responder.web.slack.envelopes import take_envelope


class Chat:
    """``start`` and ``stop`` as every part; ``follow`` after each reload."""

    def __init__(self, parts: Parts) -> None:
        """Nothing is connected yet."""
        self._settings: Callable[[], Settings] = parts.settings
        self._on_fact = parts.on_fact
        self._replies = SlackReplies(self._api_url, parts.on_fact)
        self.desk = Desk(parts, self._replies.say)
        self._one_at_a_time = asyncio.Lock()
        self._open: tuple[SlackSettings, SlackSocket, SlackClient] | None = None
        self._running = False

    async def start(self) -> None:
        """Connect, where an app-level token is configured."""
        self._running = True
        await self.follow()

    async def stop(self) -> None:
        """Take nothing more, and finish what was taken."""
        async with self._one_at_a_time:
            self._running = False
            await self._close()
        await self.desk.drain()
        await self._replies.close()

    async def follow(self) -> None:
        """Connect anew when the configuration in force says something else than the one that was connected under."""
        async with self._one_at_a_time:
            wanted = self._settings().notify.slack
            wanted = wanted if wanted is not None and wanted.app_token else None
            if not self._running or wanted == (self._open[0] if self._open else None):
                return
            await self._close()
            if wanted is None or wanted.app_token is None:
                return
            client = SlackClient(wanted.token, api_url=wanted.api_url)
            socket = SlackSocket(client, wanted.app_token, self._take, self._on_fact)
            self._open = (wanted, socket, client)
            socket.start()

    async def _close(self) -> None:
        if self._open is not None:
            _, socket, client = self._open
            self._open = None
            await socket.stop()
            await client.close()

    async def _take(self, envelope: Envelope) -> Mapping[str, JsonValue] | None:
        return await take_envelope(self.desk, envelope.id, envelope.kind, envelope.payload)

    def _api_url(self) -> str:
        slack = self._settings().notify.slack
        return slack.api_url if slack is not None else ""
