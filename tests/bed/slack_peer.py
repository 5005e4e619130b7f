"""A Slack that holds to its documented contract, and misbehaves on request.

Stricter than Slack where Slack is vague: a reply to a reply or to nothing is an error here.
"""

import hashlib
import hmac
import itertools
import json
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.bed.slack_files import File, reserved, to_share
from tests.bed.slack_limits import POST_TEXT, Refused, Slow, refusal
from tests.bed.web import Faults, JsonObject, Rate, serving

_BOT, _USER, _TEAM = "B0RESPONDER", "U0RESPONDER", "T0BED"
_PERSON = "U0PERSON"
_HISTORY_PAGE = 100  # default `limit` of conversations.history
_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call that Slack accepted (or refused, then with its `error`)."""

    method: str
    arguments: Mapping[str, Any]
    error: str = ""


@dataclass(slots=True)
class Message:
    """A message as it stands; `history` holds what it said before each edit, oldest first."""

    channel: str
    ts: str
    text: str
    thread_ts: str | None = None
    blocks: list[JsonObject] = field(default_factory=list)
    attachments: list[JsonObject] = field(default_factory=list)
    metadata: JsonObject | None = None
    user: str = _USER
    broadcast: bool = False
    history: list[JsonObject] = field(default_factory=list)
    files: list[JsonObject] = field(default_factory=list)

    def shown(self, *, metadata: bool = False) -> JsonObject:
        """Return it as conversations.history would."""
        whole: JsonObject = {"type": "message", "user": self.user, "ts": self.ts, "text": self.text}
        if self.user == _USER:
            whole["bot_id"] = _BOT
        optional: JsonObject = {"thread_ts": self.thread_ts, "blocks": self.blocks, "attachments": self.attachments}
        optional["files"] = self.files
        if metadata:
            optional["metadata"] = self.metadata
        return whole | {key: value for key, value in optional.items() if value}


@dataclass(slots=True)
class SlackPeer:
    """The workspace. `calls` are the accepted calls, `refused` the others, `messages` what stands in the channels.

    `whispers` are ephemeral messages; their `user` is the one of `people` who alone was shown them.
    Rates are `Rate`s to replace or to set ``count`` of; `faults` misbehave; `edit_window_closed` and `archived`
    are switches; `scopes` are those of the bot's token.
    """

    token: str = "xoxb-bed"
    webhook_path: str = "/services/T0BED/B0BED/secret"
    webhook_channel: str = "C0ALERTS"
    channels: dict[str, str] = field(default_factory=lambda: {"alerts": "C0ALERTS", "oncall": "C0ONCALL"})
    scopes: set[str] = field(default_factory=lambda: {"chat:write", "channels:history", "channels:read"})
    archived: set[str] = field(default_factory=set)
    edit_window_closed: bool = False
    posts: Rate = field(default_factory=lambda: Rate(1, 1.0))
    updates: Rate = field(default_factory=lambda: Rate(50, _PER_MINUTE))
    ephemerals: Rate = field(default_factory=lambda: Rate(100, _PER_MINUTE))
    reads: Rate = field(default_factory=lambda: Rate(50, _PER_MINUTE))
    lists: Rate = field(default_factory=lambda: Rate(20, _PER_MINUTE))
    faults: Faults = field(default_factory=Faults)
    calls: list[Call] = field(default_factory=list)
    refused: list[Call] = field(default_factory=list)
    whispers: list[Message] = field(default_factory=list)
    people: set[str] = field(default_factory=lambda: {_PERSON})
    limited: int = 0
    messages: list[Message] = field(default_factory=list)
    files: dict[str, File[Message]] = field(default_factory=dict)
    uploads: Rate = field(default_factory=lambda: Rate(100, _PER_MINUTE))
    url: str = ""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def api_url(self) -> str:
        """What a client calls its base URL, with the trailing slash that slack_sdk wants."""
        return f"{self.url}/api/"

    @property
    def webhook_url(self) -> str:
        """The incoming webhook, bound to `webhook_channel`."""
        return f"{self.url}{self.webhook_path}"

    def in_channel(self, name: str) -> list[Message]:
        """Return what stands in the channel ``#name``, oldest first, replies in threads included."""
        return [message for message in self.messages if message.channel == self.channels[name.lstrip("#")]]

    def say(self, name: str, text: str, **more: Any) -> Message:  # noqa: ANN401 -- fields of Message
        """Let somebody else say something."""
        message = Message(self.channels[name.lstrip("#")], self._next_ts(), text, **{"user": _PERSON, **more})
        self.messages.append(message)
        return message

    def delete(self, message: Message) -> None:
        """Let somebody delete a message."""
        self.messages.remove(message)

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=[self.faults.middleware()], client_max_size=16 * 2**20)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_post("/upload/v1/{file}", self._take)
        app.router.add_post(self.webhook_path, self._webhook)
        app.router.add_post("/services/{rest:.*}", self._no_webhook)
        return app

    async def _api(self, request: web.Request) -> web.Response:
        name = request.match_info["method"]
        methods: dict[str, Callable[[Mapping[str, Any]], Awaitable[JsonObject]]] = {
            "auth.test": self._auth_test,
            "chat.getPermalink": self._permalink,
            "chat.postEphemeral": self._whisper,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.join": self._join,
            "conversations.list": self._list_channels,
            "conversations.replies": self._replies,
            "files.completeUploadExternal": self._share,
            "files.getUploadURLExternal": self._upload_url,
        }
        arguments: Mapping[str, Any] = {}
        try:
            arguments = await _arguments(request)
            self._authenticate(request, arguments)
            answer = await methods.get(name, _unknown)(arguments)
        except Refused as refused:
            self.refused.append(Call(name, arguments, str(refused)))
            return web.json_response({"ok": False, "error": str(refused)})
        except Slow as slow:
            self.limited += 1
            body = {"ok": False, "error": "ratelimited"}
            return web.json_response(body, status=429, headers={"Retry-After": str(slow.seconds)})
        self.calls.append(Call(name, arguments))
        return web.json_response({"ok": True, **answer}, headers={"X-OAuth-Scopes": ",".join(sorted(self.scopes))})

    def _authenticate(self, request: web.Request, arguments: Mapping[str, Any]) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ") or str(arguments.get("token", ""))
        if not given:
            raise Refused("not_authed")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise Refused("invalid_auth")

    async def _auth_test(self, _: Mapping[str, Any]) -> JsonObject:
        return {
            "url": f"{self.url}/",
            "team": "Bed",
            "user": "responder",
            "team_id": _TEAM,
            "user_id": _USER,
            "bot_id": _BOT,
        }

    async def _permalink(self, arguments: Mapping[str, Any]) -> JsonObject:
        channel = self._channel(arguments, by_name=False)
        message = self._find(channel, str(arguments.get("message_ts", "")), "message_not_found")
        thread = f"?thread_ts={message.thread_ts}&cid={channel}" if message.thread_ts not in {None, message.ts} else ""
        place = f"{self.url}/archives/{channel}/p{message.ts.replace('.', '')}{thread}"
        return {"channel": channel, "permalink": place}

    async def _post(self, arguments: Mapping[str, Any]) -> JsonObject:
        self._needs("chat:write")
        channel = self._channel(arguments, by_name=True)
        if channel in self.archived:
            raise Refused("is_archived")
        _limit(self.posts, channel)
        self._check(arguments, update=False)
        thread = arguments.get("thread_ts")
        if thread:
            parent = self._find(channel, str(thread), "thread_not_found")
            if parent.thread_ts not in {None, parent.ts}:
                raise Refused("cannot_reply_to_message")
            parent.thread_ts = parent.ts
        message = self._keep(channel, arguments)
        message.thread_ts = str(thread) if thread else None
        message.broadcast = bool(thread) and _true(arguments.get("reply_broadcast"))
        return {"channel": channel, "ts": message.ts, "message": message.shown()}

    async def _whisper(self, arguments: Mapping[str, Any]) -> JsonObject:
        """Show a message to one user only: it is in no history and cannot be edited."""
        self._needs("chat:write")
        channel = self._channel(arguments, by_name=True)
        _limit(self.ephemerals)
        if arguments.get("user") not in self.people:
            raise Refused("user_not_in_channel")
        self._check(arguments, update=False)
        message = self._made(channel, arguments)
        message.user = str(arguments["user"])
        self.whispers.append(message)
        return {"message_ts": message.ts}

    async def _join(self, arguments: Mapping[str, Any]) -> JsonObject:
        self._needs("channels:join")
        return {"channel": {"id": self._channel(arguments, by_name=False)}}

    async def _list_channels(self, arguments: Mapping[str, Any]) -> JsonObject:
        self._needs("channels:read")
        _limit(self.lists)
        shown = [{"id": one, "name": name, "is_channel": True} for name, one in self.channels.items()]
        limit, start = int(arguments.get("limit") or _HISTORY_PAGE), int(arguments.get("cursor") or 0)
        following = str(start + limit) if len(shown) > start + limit else ""
        return {"channels": shown[start : start + limit], "response_metadata": {"next_cursor": following}}

    async def _update(self, arguments: Mapping[str, Any]) -> JsonObject:
        self._needs("chat:write")
        channel = self._channel(arguments, by_name=False)
        _limit(self.updates)
        message = self._find(channel, str(arguments.get("ts", "")), "message_not_found")
        if message.user != _USER:
            raise Refused("cant_update_message")
        if self.edit_window_closed:
            raise Refused("edit_window_closed")
        self._check(arguments, update=True)
        message.history.append(message.shown(metadata=True))
        message.text = str(arguments.get("text", message.text) or "")
        # Text alone removes the blocks; what else is left out stays [docs.slack.dev chat.update].
        if "text" in arguments or "blocks" in arguments:
            message.blocks = list(arguments.get("blocks") or [])
        if arguments.get("attachments") is not None:
            message.attachments = list(arguments["attachments"])
        if arguments.get("metadata") is not None:
            message.metadata = arguments["metadata"]
        return {"channel": channel, "ts": message.ts, "text": message.text, "message": message.shown()}

    async def _history(self, arguments: Mapping[str, Any]) -> JsonObject:
        self._needs("channels:history")
        channel = self._channel(arguments, by_name=False)
        _limit(self.reads, "history")
        found = [
            message
            for message in self.messages
            if message.channel == channel and (message.thread_ts in {None, message.ts} or message.broadcast)
        ]
        return _page(sorted(found, key=lambda message: message.ts, reverse=True), arguments)

    async def _replies(self, arguments: Mapping[str, Any]) -> JsonObject:
        self._needs("channels:history")
        channel = self._channel(arguments, by_name=False)
        _limit(self.reads, "replies")
        parent = self._find(channel, str(arguments.get("ts", "")), "thread_not_found")
        thread = [one for one in self.messages if one.channel == channel and parent.ts in {one.ts, one.thread_ts}]
        return _page(sorted(thread, key=lambda message: message.ts), arguments)

    async def _upload_url(self, arguments: Mapping[str, Any]) -> JsonObject:
        self._needs("files:write")
        _limit(self.uploads, "url")
        one = reserved(arguments, f"F0{next(self._numbers):06d}")
        self.files[one.id] = one
        return {"upload_url": f"{self.url}/upload/v1/{one.id}", "file_id": one.id}

    async def _take(self, request: web.Request) -> web.Response:
        """Take the bytes, raw; the address is the credential, and a token has no business here."""
        one = self.files.get(request.match_info["file"])
        if one is None or "Authorization" in request.headers or not one.fill(await request.read()):
            self.refused.append(Call("upload", {"file": request.match_info["file"]}, "refused"))
            return web.Response(status=400, text="refused")
        return web.Response(text=f"OK - {one.length}")

    async def _share(self, arguments: Mapping[str, Any]) -> JsonObject:
        self._needs("files:write")
        _limit(self.uploads, "share")
        shared = to_share(arguments, self.files)
        message = None
        if arguments.get("channel_id"):
            channel = self._channel({"channel": arguments["channel_id"]}, by_name=False)
            _limit(self.posts, channel)
            parent = self._find(channel, str(arguments.get("thread_ts", "")), "thread_not_found")
            parent.thread_ts = parent.ts
            message = self._keep(channel, {"text": str(arguments.get("initial_comment") or "")})
            message.thread_ts = parent.ts
            message.files = [{"id": one.id, "name": one.filename} for one, _ in shared]
        for one, title in shared:
            one.title, one.done, one.message = title, True, message
        return {"files": [{"id": one.id, "title": one.title} for one, _ in shared]}

    async def _webhook(self, request: web.Request) -> web.Response:
        wait = self.posts.wait(self.webhook_channel)
        if wait:
            self.limited += 1
            return web.Response(status=429, text="rate_limited", headers={"Retry-After": str(math.ceil(wait))})
        try:
            arguments = await _arguments(request)
        except Refused:
            return web.Response(status=400, text="invalid_payload")
        error = refusal(
            arguments.get("text"), arguments.get("blocks"), arguments.get("attachments"), None, update=False
        )
        if error:
            self.refused.append(Call("webhook", arguments, error))
            return web.Response(status=400, text=error)
        self.calls.append(Call("webhook", arguments))
        self._keep(self.webhook_channel, arguments)
        return web.Response(text="ok")

    async def _no_webhook(self, _: web.Request) -> web.Response:
        return web.Response(status=404, text="no_service")

    def _needs(self, scope: str) -> None:
        if scope not in self.scopes:
            raise Refused("missing_scope")

    def _channel(self, arguments: Mapping[str, Any], *, by_name: bool) -> str:
        given = str(arguments.get("channel", ""))
        if by_name:
            given = self.channels.get(given.lstrip("#"), given)
        if given not in self.channels.values():
            raise Refused("channel_not_found")
        return given

    def _find(self, channel: str, ts: str, error: str) -> Message:
        for message in self.messages:
            if (message.channel, message.ts) == (channel, ts):
                return message
        raise Refused(error)

    def _check(self, arguments: Mapping[str, Any], *, update: bool) -> None:
        parts = (arguments.get(key) for key in ("text", "blocks", "attachments", "metadata"))
        error = refusal(*parts, update=update)
        if error:
            raise Refused(error)

    def _keep(self, channel: str, arguments: Mapping[str, Any]) -> Message:
        message = self._made(channel, arguments)
        self.messages.append(message)
        return message

    def _made(self, channel: str, arguments: Mapping[str, Any]) -> Message:
        return Message(
            channel,
            self._next_ts(),
            str(arguments.get("text") or "")[:POST_TEXT],
            blocks=list(arguments.get("blocks") or []),
            attachments=list(arguments.get("attachments") or []),
            metadata=arguments.get("metadata"),
        )

    def _next_ts(self) -> str:
        # Seconds of the clock, for `oldest` and `latest`; the counter keeps two of one second apart and in order.
        return f"{int(time.time())}.{next(self._numbers):06d}"


@asynccontextmanager
async def slack(peer: SlackPeer | None = None) -> AsyncIterator[SlackPeer]:
    """Serve a workspace in the running loop."""
    running = peer or SlackPeer()
    async with serving(running.app()) as running.url:
        yield running


def signed(secret: str, body: bytes, at: float | None = None) -> dict[str, str]:
    """Return the headers with which Slack signs an interaction's raw body."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}


async def _arguments(request: web.Request) -> Mapping[str, Any]:
    """Read query, form or JSON; in a form, structured values are JSON text."""
    arguments: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except ValueError:
            raise Refused("invalid_json") from None
        if not isinstance(body, dict):
            raise Refused("json_not_object")
        arguments |= body
    else:
        arguments |= dict(await request.post())
    for key in ("blocks", "attachments", "metadata"):
        if isinstance(arguments.get(key), str):
            try:
                arguments[key] = json.loads(arguments[key])
            except ValueError:
                raise Refused(f"invalid_{key}_format") from None
    return arguments


async def _unknown(_: Mapping[str, Any]) -> JsonObject:
    raise Refused("unknown_method")


def _limit(rate: Rate, key: str = "") -> None:
    wait = rate.wait(key)
    if wait:
        raise Slow(wait)


def _true(value: object) -> bool:
    return str(value).lower() in {"1", "true"}


def _page(found: list[Message], arguments: Mapping[str, Any]) -> JsonObject:
    """Cut out the page that was asked for; `oldest` and `latest` exclude their own instant unless `inclusive`."""
    inclusive = _true(arguments.get("inclusive"))
    oldest, latest = (str(arguments.get(key) or "") for key in ("oldest", "latest"))
    for bound in (oldest, latest):
        if bound and not re.fullmatch(r"\d+(\.\d+)?", bound):
            raise Refused("invalid_ts_oldest" if bound == oldest else "invalid_ts_latest")
    if oldest:
        found = [one for one in found if float(one.ts) > float(oldest) or (inclusive and one.ts == oldest)]
    if latest:
        found = [one for one in found if float(one.ts) < float(latest) or (inclusive and one.ts == latest)]
    limit, start = int(arguments.get("limit") or _HISTORY_PAGE), int(arguments.get("cursor") or 0)
    if not 0 < limit <= 999:
        raise Refused("invalid_limit")
    page, more = found[start : start + limit], len(found) > start + limit
    metadata = _true(arguments.get("include_all_metadata"))
    return {
        "messages": [message.shown(metadata=metadata) for message in page],
        "has_more": more,
        "response_metadata": {"next_cursor": str(start + limit) if more else ""},
    }
