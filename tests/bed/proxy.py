"""A TCP proxy that misbehaves on request, between a client and a real server."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 65_536


class Mode(StrEnum):
    """What the proxy does with connections, the open ones too."""

    PASS = "pass"
    LATENCY = "latency"  # every chunk, both ways, waits for `delay`
    BLACKHOLE = "blackhole"  # accepts and lets nothing through; what waits goes on after the next switch
    REFUSE = "refuse"  # nobody listens; open connections are reset
    RESET = "reset"  # accepts and resets
    CUT = "cut"  # resets after `after` bytes of replies
    LOSE_REQUEST = "lose_request"  # the request is dropped and the connection reset
    LOSE_REPLY = "lose_reply"  # the request arrives, its reply is dropped and the connection reset


@dataclass(eq=False, slots=True)
class _Link:
    """One client's connection with the one to the server behind it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    replied: int = 0  # bytes of replies since the last switch
    armed: bool = False  # a request that matches was seen since the last switch

    def reset(self) -> None:
        for writer in (self.client, self.server):
            _reset(writer)


@dataclass(eq=False, slots=True)
class Proxy:
    """A running proxy; see `proxied`. It counts connections in `accepted` and applied faults in `struck`."""

    host: str
    upstream: int
    port: int = 0
    mode: Mode = Mode.PASS
    accepted: int = 0
    struck: int = 0
    _delay: float = 0.0
    _after: int = 0
    _when: bytes = b""
    _once: bool = False
    _skip: int = 0
    _links: set[_Link] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _listener: asyncio.Server | None = None
    _switched: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def open(self) -> int:
        """How many connections pass through now."""
        return len(self._links)

    def through(self, url: str) -> str:
        """Return `url` with this proxy's address in place of the server's."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    async def switch(
        self,
        mode: Mode,
        *,
        delay: timedelta = timedelta(),
        after: int = 0,
        when: bytes = b"",
        once: bool = False,
        skip: int = 0,
    ) -> None:
        """Change to `mode`, for open connections too.

        `delay` is for LATENCY, `after` for CUT. `when` limits CUT and LOSE_REPLY to replies that follow a request with
        these bytes (``b"COMMIT"``), and LOSE_REQUEST to such requests; `once` returns to PASS after the first one
        struck. `skip` lets so many replies of LOSE_REPLY through first: PostgreSQL prepares before it executes.
        """
        self.mode, self._delay, self._after = mode, delay.total_seconds(), after
        self._when, self._once, self._skip = when, once, skip
        for link in list(self._links):
            link.replied, link.armed = 0, False
            if mode in {Mode.REFUSE, Mode.RESET}:
                link.reset()
        if mode is Mode.REFUSE:
            await self._deaf()
        elif self._listener is None:
            await self._listen()
        self._switched.set()
        self._switched = asyncio.Event()

    async def close(self) -> None:
        """Stop listening and cut everything."""
        await self._deaf()
        for link in list(self._links):
            link.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _deaf(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self.mode is Mode.RESET:
            self.struck += 1
            _reset(writer)
            return
        try:
            answers, server = await asyncio.open_connection(self.host, self.upstream)
        except OSError:
            _reset(writer)
            return
        link = _Link(writer, server)
        self._links.add(link)
        pumps = [asyncio.create_task(self._requests(link, reader)), asyncio.create_task(self._replies(link, answers))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.ALL_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._links.discard(link)
            for side in (link.client, link.server):
                side.close()

    async def _requests(self, link: _Link, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._pause()
                if self.mode is Mode.LOSE_REQUEST and self._when in chunk:
                    self._strike(link)
                    return
                link.armed = link.armed or self._when in chunk
                link.server.write(chunk)
                await link.server.drain()
        _end(link.server)

    async def _replies(self, link: _Link, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._pause()
                kept = self._kept(link, chunk)
                link.replied += len(kept)
                link.client.write(kept)
                await link.client.drain()
                if len(kept) < len(chunk):
                    self._strike(link)
                    return
        _end(link.client)

    def _kept(self, link: _Link, chunk: bytes) -> bytes:
        """Return what of a reply reaches the client; anything shorter than the chunk means a reset."""
        if not link.armed or self.mode not in {Mode.CUT, Mode.LOSE_REPLY}:
            return chunk
        if self.mode is Mode.LOSE_REPLY and self._skip:
            self._skip -= 1
            return chunk
        return b"" if self.mode is Mode.LOSE_REPLY else chunk[: max(0, self._after - link.replied)]

    def _strike(self, link: _Link) -> None:
        self.struck += 1
        link.reset()
        if self._once:
            self.mode = Mode.PASS

    async def _pause(self) -> None:
        if self.mode is Mode.LATENCY:
            await asyncio.sleep(self._delay)
        while self.mode is Mode.BLACKHOLE:
            await self._switched.wait()


@contextlib.asynccontextmanager
async def proxied(url: str, default_port: int = 80) -> AsyncIterator[Proxy]:
    """Put a proxy before the server of `url`; ``proxy.through(url)`` is the way through it."""
    parts = urlsplit(url)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or default_port)
    await proxy.switch(Mode.PASS)
    try:
        yield proxy
    finally:
        await proxy.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        # Lingering for no time makes closing send RST, as a crashed host or a firewall does, rather than FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _end(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()
