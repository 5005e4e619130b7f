"""Serving an application: listen addresses, TLS, and a stop that lets requests under way end."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import NoReturn

from aiohttp import web

from responder.domain.errors import SettingsError
from responder.web.connection import Connection
from responder.web.malformed import Malformed
from responder.web.parts import PARTS

LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read, so that the sender sees the answer and not a reset."""
STOP_SECONDS = 10.0
REFRESH_SECONDS = 5.0


class WebServer:
    """Listens on some addresses; ``start`` and ``stop`` like every background part."""

    def __init__(self, app: web.Application, listen: Sequence[str]) -> None:
        """``listen`` are addresses such as ``127.0.0.1:9095``, ``:9095`` (all) or ``[::1]:9095``."""
        self._app = app
        self._addresses = [parse_address(one) for one in listen]
        self._runner = web.AppRunner(app, shutdown_timeout=STOP_SECONDS)
        self._servers: list[asyncio.Server] = []
        self._refresher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen on every address; raises SettingsError naming one that cannot be used."""
        if not self._servers:
            await self.bind()
        for server, (host, port) in zip(self._servers, self._addresses, strict=True):
            try:
                await server.start_serving()
            except OSError as error:
                await self._cannot_listen(host, port, error)
        self._refresher = asyncio.create_task(self._refresh(), name="web config")

    async def bind(self) -> None:
        """Take every address without listening yet; raises SettingsError naming one that cannot be used."""
        await self._runner.setup()
        manager = self._runner.server
        if manager is None:
            raise RuntimeError("aiohttp set up no server")
        parts = self._app[PARTS]
        malformed = Malformed(parts.on_fact)

        def connection() -> Connection:
            return Connection(
                manager,
                malformed,
                headers_seconds=parts.bounds.headers_seconds,
                idle_seconds=parts.bounds.idle_seconds,
                lingering_seconds=LINGER_SECONDS,
            )

        loop = asyncio.get_running_loop()
        for host, port in self._addresses:
            try:
                # A listener's own timeout bounds the TLS handshake as the deadline does the headers.
                timeout = parts.bounds.headers_seconds if parts.web_config.context is not None else None
                server = await loop.create_server(
                    connection,
                    host,
                    port,
                    ssl=parts.web_config.context,
                    ssl_handshake_timeout=timeout,
                    backlog=1024,
                    start_serving=False,
                )
            except OSError as error:
                await self._cannot_listen(host, port, error)
            else:
                self._servers.append(server)

    async def _cannot_listen(self, host: str | None, port: int, error: OSError) -> NoReturn:
        await self.stop()
        raise SettingsError(f"--web.listen-address: cannot listen on {host or ''}:{port}: {error.strerror}") from error

    @property
    def ports(self) -> list[int]:
        """The ports that are listened on, one for each socket."""
        return [one.getsockname()[1] for server in self._servers for one in server.sockets]

    async def stop(self) -> None:
        """Accept nothing more, let requests under way end within ten seconds, close the rest."""
        if self._refresher is not None:
            self._refresher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refresher
            self._refresher = None
        for server in self._servers:
            server.close()
        await self._runner.cleanup()
        self._servers.clear()

    async def _refresh(self) -> None:
        """Pick up changes of the web configuration file and its certificates."""
        parts, said = self._app[PARTS], ""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            wrong = await parts.web_config.refresh()
            if wrong and wrong != said:
                parts.on_fact("web_config", error=wrong)
            said = wrong


def parse_address(text: str) -> tuple[str | None, int]:
    """Read ``host:port``; no host means all. Raises SettingsError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) >= 2**16:
        raise SettingsError(f"--web.listen-address: {text!r} is not host:port, such as 127.0.0.1:9095")
    return host.strip("[]") or None, int(port)
