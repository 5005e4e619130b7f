"""The HTTP session of every client: its own connections, no cookies, TLS as configured."""

import os
import ssl
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import aiohttp

from responder.ports.tools import Gate


def new_session(
    timeout: aiohttp.ClientTimeout,
    *,
    limit: int,
    tls: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    traces: Sequence[aiohttp.TraceConfig] = (),
) -> aiohttp.ClientSession:
    """Return a session of at most ``limit`` connections at once; without ``tls`` the system's authorities count."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit, ssl=tls if tls is not None else True),
        timeout=timeout,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=list(traces),
    )


def gates() -> aiohttp.TraceConfig:
    """Let a request pass its gate: aiohttp awaits this with the connection at hand, before it writes the headers."""

    async def pass_gate(_: aiohttp.ClientSession, request: SimpleNamespace, __: object) -> None:
        gate: Gate | None = request.trace_request_ctx
        if gate is not None:
            await gate()

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(pass_gate)
    return tracing


def plainly(error: Exception) -> str:
    """Return why nothing was answered, in the words of the operating system; libraries name their classes instead."""
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error.os_error, ssl.SSLError):
        number = error.os_error.errno or 0
        return f"{error.host}:{error.port}: {os.strerror(number) if number > 0 else error.os_error.strerror or error}"
    return str(error) or ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)
