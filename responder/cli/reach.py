"""Looking at what the configuration reaches out to: read-only requests over the standard library."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from importlib.util import find_spec
from urllib.parse import quote_plus, urlencode, urlsplit

from responder.cli.findings import Finding, note, well, wrong
from responder.domain.errors import SettingsError
from responder.settings import (
    BasicAuth,
    HttpAuth,
    HttpConfig,
    OAuth2,
    Settings,
    SlackSettings,
    TlsConfig,
)

SECONDS = 5.0
_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "postgres": 5432, "postgresql": 5432}
_LARGEST = 65_536
"""How much of an answer is read; the ones asked for are a few hundred bytes."""


async def look_outside(settings: Settings, queries: Mapping[str, str]) -> list[Finding]:
    """Look at everything outside at once; ``queries`` are what a Prometheus is asked to read, each with its file."""
    looks = [*_looks(settings), *_reads(settings, queries)]
    found = await asyncio.gather(*(asyncio.to_thread(look) for look in looks))
    return list(dict.fromkeys(found))  # two looks at what is not there find the same


def _reads(settings: Settings, queries: Mapping[str, str]) -> Iterator[Callable[[], Finding]]:
    for name, prometheus in list(settings.prometheus.items())[:1]:  # they all read the same language
        if queries:
            yield partial(_queries, f"prometheus {name}", prometheus.http, queries)


def _queries(subject: str, http: HttpConfig, queries: Mapping[str, str]) -> Finding:
    """Let Prometheus read every query, at a time from which it has no samples: that costs it nothing."""

    def ask() -> Finding:
        for query, file in queries.items():
            status, body = _request(http, f"/api/v1/query?{urlencode({'query': query, 'time': 0})}")
            if status == 400:  # noqa: PLR2004 - bad_data: it cannot be parsed
                why = str(_field(_decoded(body), "error") or "no reason given")[:300]
                return wrong(subject, f"it refuses a query of {file}: {why}")
            if status != 200:  # noqa: PLR2004 - OK
                return note(subject, f"it could not be asked to read the queries: it answered {status}")
        return well(subject, f"it understands all queries of the playbooks that it can be asked: {len(queries)}")

    return _guarded(subject, http, ask)


def look_at_running(url: str) -> Finding:
    """Ask a running responder whether it is ready: that its process lives does not say so."""
    try:
        status, body = _request(HttpConfig(url), "/-/ready")
    except (OSError, HTTPException, ValueError) as error:
        text = f"nobody can be asked at {_place(url)} whether it is ready: {_reason(error)}; set RESPONDER_URL"
        return note("responder", text)
    if status == 200:  # noqa: PLR2004 - OK
        return well("responder", f"{_place(url)} is ready")
    said = "".join(letter if letter.isprintable() else " " for letter in body.decode(errors="replace")[:200]).strip()
    return wrong("responder", f"{_place(url)} answers {status} to /-/ready: {said or 'nothing more'}")


def _looks(settings: Settings) -> Iterator[Callable[[], Finding]]:
    for name, prometheus in settings.prometheus.items():
        yield partial(_prometheus, f"prometheus {name}", prometheus.http)
    for name, source in settings.sources.items():
        if source.api is not None:
            yield partial(_alertmanager, f"source {name}", source.api)
    for name, connection in settings.connections_http.items():
        http = connection.http
        yield partial(_connects, f"connection http/{name}", http.proxy_url or http.url)
        if http.oauth2 is not None:
            yield partial(_token, f"connection http/{name}", http, http.oauth2)
        if http.tls is not None:
            yield partial(_tls, f"connection http/{name}", http.tls)
    if settings.redis is not None:
        yield partial(_connects, "redis", settings.redis.url)
    if settings.notify.slack is not None:
        yield partial(_slack, settings.notify.slack)
    if settings.notify.pagerduty is not None:
        yield partial(_connects, "pagerduty", settings.notify.pagerduty.api_url)


def _prometheus(subject: str, http: HttpConfig) -> Finding:
    def ask() -> Finding:
        status, _ = _request(http, "/-/ready")
        if status == 404:  # noqa: PLR2004 - not every server that speaks the API has this page
            status, _ = _request(http, "/api/v1/status/buildinfo")
        return _judged(subject, status, "ready")

    return _guarded(subject, http, ask)


def _alertmanager(subject: str, http: HttpConfig) -> Finding:
    def ask() -> Finding:
        status, body = _request(http, "/api/v2/status")
        version = _field(_field(_decoded(body), "versionInfo"), "version")
        return _judged(subject, status, f"its API answers, version {version or 'unknown'}")

    return _guarded(subject, http, ask)


def _slack(slack: SlackSettings) -> Finding:
    http = HttpConfig(slack.api_url.rstrip("/"), http_headers={"Authorization": f"Bearer {slack.token}"})

    def ask() -> Finding:
        status, body, headers = _asked(http, "/auth.test", b"")
        answer = _decoded(body)
        if _field(answer, "ok") is not True:
            return wrong(
                "slack", f"auth.test says {_field(answer, 'error') or status}; is the token the bot's (xoxb-…)?"
            )
        who = f"{_field(answer, 'user')} in {_field(answer, 'team')}"
        return _allowed(slack, who, headers.get("x-oauth-scopes", ""))

    return _guarded("slack", http, ask)


def _allowed(slack: SlackSettings, who: str, scopes: str) -> Finding:
    """Say what the app may not do; Slack lists what it may with every answer (docs.slack.dev, OAuth)."""
    may = {one.strip() for one in scopes.split(",") if one.strip()}
    if may and "chat:write" not in may:
        return wrong("slack", f"{who} may post nothing: add the scope chat:write and install the app again")
    if slack.pictures and may and "files:write" not in may:
        hint = "add the scope files:write and install the app again, or set notify.slack.pictures: false"
        return note("slack", f"{who}; messages have no charts below them: {hint}")
    if slack.pictures and find_spec("PIL") is None:
        hint = "pip install 'alert-responder[pictures]', or set notify.slack.pictures: false"
        return note("slack", f"{who}; messages link to their charts and do not show them: {hint}")
    return well("slack", who)


def _judged(subject: str, status: int, good: str) -> Finding:
    if status == 200:  # noqa: PLR2004 - OK
        return well(subject, good)
    hint = "; check its credentials" if status in (401, 403) else ""
    return wrong(subject, f"answered {status}{hint}")


def _guarded(subject: str, http: HttpConfig, ask: Callable[[], Finding]) -> Finding:
    if http.oauth2 is not None:
        return note(subject, "not asked: oauth2 is for connections.http")
    try:
        return ask()
    except (OSError, HTTPException, SettingsError, ValueError) as error:
        return wrong(subject, f"{_place(http.url)} cannot be asked: {_reason(error)}")


def _token(subject: str, http: HttpConfig, oauth2: OAuth2) -> Finding:
    """Ask for a token, as a call would; what is given is thrown away."""
    credentials = BasicAuth(quote_plus(oauth2.client_id), quote_plus(oauth2.client_secret))
    form = {**oauth2.endpoint_params, "grant_type": "client_credentials"}
    form |= {"scope": " ".join(oauth2.scopes)} if oauth2.scopes else {}
    in_body = {"client_id": oauth2.client_id, "client_secret": oauth2.client_secret}
    asked = replace(http, url=oauth2.token_url, auth=HttpAuth(), http_headers={}, oauth2=None)
    try:
        status, body = _request(replace(asked, auth=HttpAuth(basic=credentials)), "", urlencode(form).encode())
        if status in (400, 401):
            status, body = _request(asked, "", urlencode({**form, **in_body}).encode())
    except (OSError, HTTPException, SettingsError, ValueError) as error:
        return wrong(subject, f"no token can be had at {_place(oauth2.token_url)}: {_reason(error)}")
    if status == 200 and isinstance(_field(_decoded(body), "access_token"), str):  # noqa: PLR2004 - OK
        return well(subject, f"{_place(oauth2.token_url)} gives {oauth2.client_id} a token")
    return wrong(subject, f"{_place(oauth2.token_url)} gives {oauth2.client_id} no token: it answered {status}")


def _tls(subject: str, tls: TlsConfig) -> Finding:
    """Load the certificates."""
    try:
        tls.context()
    except SettingsError as error:
        return wrong(subject, str(error))
    return well(subject, "its client certificate can be used" if tls.cert_file else "its tls_config can be used")


def _connects(subject: str, url: str) -> Finding:
    parts = urlsplit(url)
    address = parts.hostname or "127.0.0.1", parts.port or _PORTS.get(parts.scheme, 80)
    try:
        with socket.create_connection(address, timeout=SECONDS):
            return well(subject, f"{_place(url)} accepts connections")
    except OSError as error:
        return wrong(subject, f"{_place(url)} cannot be reached: {_reason(error)}")


def _request(http: HttpConfig, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    status, answer, _ = _asked(http, path, body)
    return status, answer


def _asked(http: HttpConfig, path: str, body: bytes | None = None) -> tuple[int, bytes, Mapping[str, str]]:
    url = f"{http.url.rstrip('/')}{path}"
    proxies = {"http": http.proxy_url, "https": http.proxy_url} if http.proxy_url else {}
    opener = urllib.request.OpenerDirector()  # without the usual handler of redirects: credentials follow nobody
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=http.ssl_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, data=body, headers=dict(http.headers()))  # noqa: S310 - the configuration allows http and https only
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return answer.status, answer.read(_LARGEST), _lower(answer.headers.items())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_LARGEST), _lower(error.headers.items())


def _lower(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return headers by their names in small letters: senders write them as they like."""
    return {name.lower(): value for name, value in headers}


def _decoded(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _field(found: object, name: str) -> object:
    return found.get(name) if isinstance(found, dict) else None


def _place(url: str) -> str:
    """Return host and port: a URL may hold a password."""
    parts = urlsplit(url)
    return f"{parts.hostname or '127.0.0.1'}:{parts.port or _PORTS.get(parts.scheme, 80)}"


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason) or type(error).__name__
