"""The HTTP session of every client: its own connections, no cookies, TLS as configured."""

import ssl
from collections.abc import Mapping, Sequence

import aiohttp


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
