"""A Slack in which people press buttons and type commands: it sends them signed, or through Socket Mode.

As strict as documented: three seconds for an answer, an envelope to one connection, five answers to a response_url.
"""

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tests.bed.slack_limits import refusal
from tests.bed.slack_peer import Message, SlackPeer, signed
from tests.bed.web import JsonObject

PATIENCE = 3.0
"""Seconds that Slack waits for an answer or an acknowledgement (docs.slack.dev, handling user interaction)."""
ANSWERS = 5
_MOST_CONNECTIONS = 10


@dataclass(frozen=True, slots=True)
class Heard:
    """What the app answered: its status (200 for an acknowledgement, 0 for none in time) and what came with it."""

    status: int
    body: str
    seconds: float

    @property
    def text(self) -> str:
        """The text that the user is shown in place of a message."""
        return str(json.loads(self.body).get("text", "")) if self.body.startswith("{") else self.body


@dataclass(eq=False, slots=True)
class Link:
    """A connection of Socket Mode, and how many envelopes were sent through it."""

    socket: web.WebSocketResponse
    sent: int = 0


@dataclass(slots=True)
class ClickingSlack(SlackPeer):
    """`answers` are what a response_url was told, by user; `links` are the open connections, `opened` counts all."""

    signing_secret: str = "bed-signing-secret"
    app_token: str = "xapp-bed"
    patience: float = PATIENCE
    answers: dict[str, list[JsonObject]] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    opened: int = 0
    _tickets: set[str] = field(default_factory=set)
    _reply_to: dict[str, tuple[str, int]] = field(default_factory=dict)
    _acked: dict[str, "asyncio.Future[JsonObject]"] = field(default_factory=dict)
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

    def app(self) -> web.Application:
        """Return the web application."""
        app = SlackPeer.app(self)
        app.router.add_post("/api/apps.connections.open", self._open_connection)
        app.router.add_get("/link", self._link)
        app.router.add_post("/actions/{ticket}", self._answer)
        return app

    # --- what people do ---

    def buttons(self, message: Message) -> dict[str, JsonObject]:
        """Return the buttons of a message by what they say."""
        elements = [one for block in message.blocks if block["type"] == "actions" for one in block["elements"]]
        return {str(one["text"]["text"]): one for one in elements}

    def pressing(self, message: Message, label: str, user: str = "U0ANA") -> JsonObject:
        """Return the payload of a press on a button that the message has at this moment."""
        button = self.buttons(message)[label]
        action = {key: button[key] for key in ("type", "action_id", "text", "value")}
        return {
            "type": "block_actions",
            "user": {"id": user, "username": user.lower(), "team_id": "T0BED"},
            "team": {"id": "T0BED", "domain": "bed"},
            "api_app_id": "A0BED",
            "container": {"type": "message", "message_ts": message.ts, "channel_id": message.channel},
            "channel": {"id": message.channel, "name": "alerts"},
            "message": message.shown(),
            "trigger_id": f"1.2.{secrets.token_hex(8)}",
            "response_url": self._response_url(user),
            "actions": [{**action, "block_id": "b", "action_ts": f"{time.time():.6f}"}],
        }

    def typing(self, text: str, user: str = "U0ANA") -> JsonObject:
        """Return the fields of a typed ``/responder TEXT``."""
        return {
            "command": "/responder",
            "text": text,
            "user_id": user,
            "user_name": user.lower(),
            "team_id": "T0BED",
            "channel_id": self.webhook_channel,
            "trigger_id": f"1.2.{secrets.token_hex(8)}",
            "response_url": self._response_url(user),
        }

    def said_to(self, user: str) -> list[str]:
        """Return what a user was told, oldest first."""
        return [str(one["blocks"][0]["text"]["text"]) for one in self.answers.get(user, [])]

    # --- the two ways ---

    def request(self, payload: Mapping[str, Any]) -> tuple[str, bytes, dict[str, str]]:
        """Return path, body and signed headers of the request that carries a press or a command."""
        pressed = "actions" in payload
        fields = {"payload": json.dumps(payload)} if pressed else dict(payload)
        body = urlencode(fields).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", **signed(self.signing_secret, body)}
        return "/slack/interactions" if pressed else "/slack/commands", body, headers

    async def call(self, base: str, path: str, body: bytes, headers: Mapping[str, str]) -> Heard:
        """Send a request, and wait as long as Slack does."""
        began = time.monotonic()
        try:
            timeout = aiohttp.ClientTimeout(total=self.patience)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(base + path, data=body, headers=headers, allow_redirects=False) as got,
            ):
                return Heard(got.status, await got.text(), time.monotonic() - began)
        except TimeoutError:
            return Heard(0, "", time.monotonic() - began)

    async def through_socket(self, payload: JsonObject, *, envelope_id: str = "", on: int | None = None) -> Heard:
        """Send an envelope through one of the connections, in turn, and wait for its acknowledgement."""
        began = time.monotonic()
        name = envelope_id or secrets.token_hex(12)
        pressed = "actions" in payload
        link = self.links[(next(self._turn) if on is None else on) % len(self.links)]
        link.sent += 1
        self._acked[name] = asyncio.get_running_loop().create_future()
        envelope = {
            "envelope_id": name,
            "type": "interactive" if pressed else "slash_commands",
            "accepts_response_payload": not pressed,
            "payload": payload,
        }
        await link.socket.send_json(envelope)
        try:
            async with asyncio.timeout(self.patience):
                said = await self._acked[name]
        except TimeoutError:
            return Heard(0, "", time.monotonic() - began)
        return Heard(200, json.dumps(said.get("payload") or {}), time.monotonic() - began)

    async def refresh(self, reason: str = "refresh_requested") -> None:
        """Tell every connection that it is about to be closed, as Slack does every few hours."""
        for link in list(self.links):
            await link.socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "bed"}})

    # --- what the app calls ---

    async def _open_connection(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = given or str((await request.post()).get("token", "")) or request.query.get("token", "")
        if given != self.app_token:
            kind = "not_allowed_token_type" if given.startswith("xoxb-") else "invalid_auth"
            return web.json_response({"ok": False, "error": kind})
        ticket = secrets.token_hex(8)
        self._tickets.add(ticket)
        return web.json_response({"ok": True, "url": f"{self.url.replace('http', 'ws', 1)}/link?ticket={ticket}"})

    async def _link(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=408)
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if len(self.links) >= _MOST_CONNECTIONS:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return socket
        link = Link(socket)
        self.links.append(link)
        self.opened += 1
        await socket.send_json({"type": "hello", "num_connections": len(self.links), "connection_info": {}})
        try:
            async for message in socket:
                self._acknowledged(message.data)
        finally:
            self.links.remove(link)
        return socket

    def _acknowledged(self, data: object) -> None:
        said = json.loads(str(data))
        waiting = self._acked.get(said["envelope_id"])
        assert set(said) <= {"envelope_id", "payload"}, said
        if waiting is not None and not waiting.done():
            waiting.set_result(said)

    def _response_url(self, user: str) -> str:
        ticket = secrets.token_hex(8)
        self._reply_to[ticket] = (user, ANSWERS)
        return f"{self.url}/actions/{ticket}"

    async def _answer(self, request: web.Request) -> web.Response:
        user, left = self._reply_to.get(request.match_info["ticket"], ("", 0))
        if not left:
            return web.Response(status=404, text="used_url")
        said = await request.json()
        if refusal(said.get("text"), said.get("blocks"), None, None, update=False):
            return web.Response(status=400, text="invalid_payload")
        self._reply_to[request.match_info["ticket"]] = (user, left - 1)
        self.answers.setdefault(user, []).append(said)
        return web.Response(text="ok")
