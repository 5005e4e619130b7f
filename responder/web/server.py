"""Serving an application: listen addresses, TLS, and a stop that lets requests under way end."""

import asyncio
import contextlib
from collections.abc import Sequence

from aiohttp import web

from responder.domain.errors import SettingsError
from responder.web.connection import Connection
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
        await self._runner.setup()
        manager = self._runner.server
        if manager is None:
            raise RuntimeError("aiohttp set up no server")
        parts = self._app[PARTS]

        def connection() -> Connection:
            return Connection(
                manager,
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
                    connection, host, port, ssl=parts.web_config.context, ssl_handshake_timeout=timeout, backlog=1024
                )
            except OSError as error:
                await self.stop()
                shown = f"{host or ''}:{port}"
                raise SettingsError(f"--web.listen-address: cannot listen on {shown}: {error.strerror}") from error
            self._servers.append(server)
        self._refresher = asyncio.create_task(self._refresh(), name="web config")

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
        for server in self._servers:
            server.close()
        await self._runner.cleanup()
        self._servers.clear()

    async def _refresh(self) -> None:
        """Pick up changes of the web configuration file and its certificates."""
        parts = self._app[PARTS]
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            wrong = await parts.web_config.refresh()
            if wrong:
                parts.on_fact("web_config", error=wrong)


def parse_address(text: str) -> tuple[str | None, int]:
    """Read ``host:port``; no host means all. Raises SettingsError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) >= 2**16:
        raise SettingsError(f"--web.listen-address: {text!r} is not host:port, such as 127.0.0.1:9095")
    return host.strip("[]") or None, int(port)
