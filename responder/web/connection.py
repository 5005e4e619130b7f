"""One connection: aiohttp's, with a deadline for request headers and a quiet answer to what is no HTTP.

aiohttp logs a traceback for every malformed request. It bounds neither how long a request's headers take to arrive nor
a connection that sends nothing at all; its keep-alive time is one for all, and Alertmanager's idle connections need a
long one.
"""

import asyncio
import logging

from aiohttp import web
from aiohttp.http import HttpProcessingError

from responder.web.malformed import Malformed

_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 31\r\n\r\nthe headers arrived too slowly\n"
)


class Connection(web.RequestHandler):
    """A connection that answers 408 when the headers of a request take longer than ``headers_seconds``."""

    __slots__ = ("_headers_seconds", "_headers_timer", "_malformed", "_own_loop", "_seen_requests")

    def __init__(
        self,
        manager: web.Server,
        malformed: Malformed,
        *,
        headers_seconds: float,
        idle_seconds: float,
        lingering_seconds: float,
    ) -> None:
        """Tell ``malformed`` of what is no HTTP.

        Close after ``idle_seconds`` without a request; read what is left of a refused body for a moment.
        """
        self._own_loop = asyncio.get_running_loop()
        super().__init__(
            manager,
            loop=self._own_loop,
            keepalive_timeout=idle_seconds,
            lingering_time=lingering_seconds,
            auto_decompress=False,
            access_log=logging.getLogger("aiohttp.access"),
        )
        self._malformed = malformed
        self._headers_seconds = headers_seconds
        self._headers_timer: asyncio.TimerHandle | None = None
        self._seen_requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the first request has to come soon."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Take bytes; whole headers end the deadline, the beginning of new ones starts it."""
        super().data_received(data)
        if self._request_count > self._seen_requests:
            self._seen_requests = self._request_count
            self._disarm()
        elif data and self._headers_timer is None and self._waits_for_request():
            self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._disarm()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP without repeating it; any other error is aiohttp's to handle."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        self._malformed.note(request.remote or "", exc)
        response = web.Response(status=status, text="this is not a well-formed HTTP request\n")
        response.headers["Server"] = "responder"
        response.force_close()
        return response

    def _waits_for_request(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _arm(self) -> None:
        self._headers_timer = self._own_loop.call_later(self._headers_seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def _too_slow(self) -> None:
        self._headers_timer = None
        if self.transport is not None:
            self.transport.write(_TOO_SLOW)
        self.force_close()
