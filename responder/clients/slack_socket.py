"""Socket Mode: a connection that we open and that Slack sends clicks through, so that nobody needs a public URL."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from responder.domain.errors import DeliveryError

if TYPE_CHECKING:  # loaded on first use: a `responder` without Slack does not pay for it
    import aiohttp

    from responder.clients.slack import SlackClient

HEARTBEAT_SECONDS = 20.0
"""How often the connection is tried: one that is only half there looks like a Slack in which nobody clicks."""
HELLO_SECONDS = 10.0
CLOSE_SECONDS = 1.0
"""Slack does not close its end (node-slack-sdk issue 2752): nobody waits for it."""
LARGEST = 2 * 2**20
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between tries to connect, doubled from the one to the other."""

Json = Mapping[str, JsonValue]


class OnFact(Protocol):
    """Takes a fact once, to log and to count."""

    def __call__(self, name: str, /, **fields: object) -> None:
        """Note the fact ``name``."""
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """What Slack sends: ``interactive`` or ``slash_commands``, its payload, and the name under which it is told."""

    id: str
    kind: str
    payload: Json


OnEnvelope = Callable[[Envelope], Awaitable[Json | None]]
"""Takes an envelope; returns what is said with the acknowledgement (perhaps nothing), None for no acknowledgement."""


class SlackSocket:
    """Keeps one connection open, and opens the next before Slack closes the last. ``start`` and ``stop`` as all parts.

    Replicas hold one each; Slack sends an envelope to one of them (ten connections an app at most).
    """

    def __init__(
        self, client: "SlackClient", app_token: str, on_envelope: OnEnvelope, on_fact: OnFact,
        *, shortest_pause: float = SHORTEST_PAUSE,
    ) -> None:  # fmt: skip
        """``client`` asks for the connection's URL under ``app_token``."""
        self._client = client
        self._app_token = app_token
        self._on_envelope = on_envelope
        self._on_fact = on_fact
        self._shortest_pause = shortest_pause
        self._readers: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._keeper = asyncio.create_task(self._keep(), name="slack socket")

    async def stop(self) -> None:
        """Answer what was taken, close every connection and open no more."""
        tasks = [*([self._keeper] if self._keeper else []), *self._readers]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._session is not None:
            await self._session.close()

    async def _keep(self) -> None:
        """Hold a connection for ever."""
        pause = self._shortest_pause
        while True:
            try:
                socket = await self._connect()
            except DeliveryError as error:
                wait = max(pause, error.retry_after.total_seconds() if error.retry_after else 0.0)
                self._on_fact("slack_socket", connected=0, error=str(error), again_in=round(wait, 1))
            else:
                moving = asyncio.Event()
                reader = asyncio.create_task(self._read(socket, moving), name="slack socket reader")
                self._readers.add(reader)
                reader.add_done_callback(self._readers.discard)
                self._on_fact("slack_socket", connected=1)
                pause = self._shortest_pause
                await _first_of(reader, moving)
                if moving.is_set():
                    continue  # the old one is read until Slack closes it: no click falls into a gap
                wait = self._shortest_pause
                self._on_fact("slack_socket", connected=0, error="the connection ended", again_in=wait)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - so that replicas do not come together
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connect(self) -> "aiohttp.ClientWebSocketResponse":
        """Open a connection and wait until Slack has said hello; raises DeliveryError."""
        import aiohttp

        url = await self._client.open_connection(self._app_token)
        if urlsplit(url).scheme not in ("ws", "wss"):
            raise DeliveryError("Slack named no address for Socket Mode")
        try:
            socket = await self._open().ws_connect(
                url,
                heartbeat=HEARTBEAT_SECONDS,
                max_msg_size=LARGEST,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            # The URL holds a ticket; only the kind of the error is told.
            raise DeliveryError(f"Socket Mode cannot be reached: {type(error).__name__}") from error
        try:
            hello = _read(await socket.receive(timeout=HELLO_SECONDS))
        except TimeoutError as error:
            await socket.close()
            raise DeliveryError("Socket Mode did not say hello") from error
        if hello.get("type") != "hello":
            await socket.close()
            raise DeliveryError(f"Socket Mode refused: {str(hello.get('reason') or 'no hello')[:60]}")
        return socket

    async def _read(self, socket: "aiohttp.ClientWebSocketResponse", moving: asyncio.Event) -> None:
        """Take what comes until the connection ends; what was taken is answered before it is given up."""
        taking: set[asyncio.Task[None]] = set()
        try:
            async for message in socket:
                data = _read(message)
                if data.get("type") == "disconnect":
                    self._on_fact("slack_socket_moves", reason=str(data.get("reason", ""))[:60])
                    moving.set()
                    continue
                if isinstance(data.get("envelope_id"), str):
                    task = asyncio.create_task(self._take(socket, data))
                    taking.add(task)
                    task.add_done_callback(taking.discard)
        finally:
            if taking:
                await asyncio.wait(set(taking))
            await socket.close()

    async def _take(self, socket: "aiohttp.ClientWebSocketResponse", data: Json) -> None:
        payload = data.get("payload")
        envelope = Envelope(
            str(data["envelope_id"]), str(data.get("type", "")), payload if isinstance(payload, dict) else {}
        )
        try:
            said = await self._on_envelope(envelope)
        except Exception as error:  # noqa: BLE001 - one bad envelope must not end the connection
            self._on_fact("slack_envelope_failed", error=f"{type(error).__name__}: {error}")
            return
        if said is None:
            return
        answer: dict[str, object] = {"envelope_id": envelope.id}
        if said and data.get("accepts_response_payload"):
            answer["payload"] = dict(said)
        with contextlib.suppress(ConnectionError):  # what was taken up stays so; Slack shows its own warning
            await socket.send_str(to_json(answer).decode())

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        from responder.clients.sessions import new_session

        if self._session is None:
            self._session = new_session(aiohttp.ClientTimeout(total=None, connect=HELLO_SECONDS), limit=4)
        return self._session


async def _first_of(reader: "asyncio.Task[None]", moving: asyncio.Event) -> None:
    """Wait until the connection has ended or is about to."""
    told = asyncio.create_task(moving.wait())
    try:
        await asyncio.wait({reader, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()


def _read(message: "aiohttp.WSMessage") -> Json:
    """Return a message's JSON object; whatever else comes is an empty one."""
    if not isinstance(message.data, str):
        return {}
    try:
        found = from_json(message.data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
