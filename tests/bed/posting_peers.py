"""Services that take a POST: one that checks signatures as its documentation says, a Teams workflow, a mail server."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.bed.web import Faults, JsonObject, Rate, serving

SECRET = "whsec_" + base64.b64encode(b"a-key-of-twenty-four-bts").decode()
_TEAMS_BYTES = 28 * 1024
_TEAMS_ELEMENTS = {"TextBlock", "RichTextBlock", "FactSet", "ColumnSet", "Container"}


@dataclass
class HookPeer:
    """Takes signed JSON, each id once; ``refused`` says why it did not."""

    secret: str = SECRET
    faults: Faults = field(default_factory=Faults)
    events: list[JsonObject] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    url: str = ""

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.faults.middleware()])
        app.router.add_post("/hook", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        why = verify(self.secret, request.headers, body, time.time())
        if why:
            self.refused.append(why)
            return web.Response(status=401, text=why)
        event: JsonObject = json.loads(body)
        if event["id"] != request.headers["webhook-id"]:
            self.refused.append("the id of the body is another one")
        if any(one["id"] == event["id"] for one in self.events):
            self.repeated.append(event["id"])
        else:
            self.events.append(event)
        return web.Response(status=204)


def verify(secret: str, headers: Any, body: bytes, now: float) -> str:  # noqa: ANN401 -- any mapping of headers
    """Return what is wrong with a request, as standardwebhooks.com has it checked; empty when nothing is."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    if not any(hmac.compare_digest(one, expected) for one in headers.get("webhook-signature", "").split()):
        return "the signature is wrong"
    return "" if abs(now - int(headers["webhook-timestamp"])) <= 300 else "the signature is stale"


@asynccontextmanager
async def hook(peer: HookPeer | None = None) -> AsyncIterator[HookPeer]:
    running = peer or HookPeer()
    async with serving(running.app()) as base:
        running.url = f"{base}/hook"
        yield running


@dataclass
class TeamsPeer:
    """A workflow that posts cards: size, kinds of elements and colours are checked, four posts a second are taken."""

    posts: Rate = field(default_factory=lambda: Rate(4, 1.0))
    cards: list[JsonObject] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    url: str = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/workflows/1/triggers/manual/paths/invoke", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.posts.wait():
            return web.Response(status=429, headers={"Retry-After": "1"})
        try:
            wrong = _wrong_card(json.loads(body), len(body))
        except (ValueError, KeyError, TypeError) as error:
            wrong = repr(error)
        if wrong:
            self.refused.append(wrong)
            return web.Response(status=400, text=wrong)
        self.cards.append(json.loads(body)["attachments"][0]["content"])
        return web.Response(status=202)


def _wrong_card(message: JsonObject, size: int) -> str:
    (attachment,) = message["attachments"]
    card = attachment["content"]
    kinds = {one["type"] for one in card["body"]}
    runs = [run for one in card["body"] for run in one.get("inlines", [])]
    urls = [one["url"] for one in card["actions"]]
    checks = {
        f"{size} bytes": size <= _TEAMS_BYTES,
        "type": message["type"] == "message" and card["type"] == "AdaptiveCard" and card["version"] in ("1.4", "1.5"),
        "contentType": attachment["contentType"] == "application/vnd.microsoft.card.adaptive",
        f"elements {kinds}": kinds <= _TEAMS_ELEMENTS,
        "runs": all(run["type"] == "TextRun" and run["text"] for run in runs),
        "actions": len(urls) <= 6 and all(url.startswith(("http://", "https://")) for url in urls),
    }
    return ", ".join(name for name, well in checks.items() if not well)


@asynccontextmanager
async def teams(peer: TeamsPeer | None = None) -> AsyncIterator[TeamsPeer]:
    running = peer or TeamsPeer()
    async with serving(running.app()) as base:
        running.url = f"{base}/workflows/1/triggers/manual/paths/invoke"
        yield running


@dataclass
class Mailbox:
    """What aiosmtpd calls: keeps mail, and refuses as it is told; ``answers`` are replies to the next DATA."""

    mails: list[EmailMessage] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    port: int = 0

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 -- as above
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            message = message_from_bytes(content, policy=default)
            assert isinstance(message, EmailMessage)
            self.mails.append(message)
        return answer


@asynccontextmanager
async def mail_server() -> AsyncIterator[Mailbox]:
    """Run a mail server in the running loop."""
    mailbox, loop = Mailbox(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, hostname="mail.example", loop=loop), "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
