"""Looking at the channels beside Slack and PagerDuty: as far as it goes without telling anybody anything."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import SplitResult, urlsplit

from responder.app.channels import mailer_of
from responder.cli.findings import Finding, note, well, wrong
from responder.domain.errors import DeliveryError, SettingsError
from responder.settings import MailSettings, Settings
from responder.settings.check import is_loopback

SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


async def look_at_channels(settings: Settings) -> list[Finding]:
    """Look at all of them at once. Nothing is posted and no mail is sent."""
    found = await asyncio.gather(*(asyncio.to_thread(look) for look in _looks(settings)))
    return list(found)


def _looks(settings: Settings) -> Iterator[Callable[[], Finding]]:
    notify = settings.notify
    if notify.email is not None:
        yield partial(_mail, notify.email)
    for name, one in notify.webhook.items():
        place = f"webhook {name}"
        yield partial(_reached, place, one.http.url, one.http.ssl_context, one.http.proxy_url, signed=bool(one.secret))
    for kind, urls in (("teams", notify.teams), ("slack_webhook", notify.slack_webhook)):
        for name, url in urls.items():
            yield partial(_reached, f"{kind} {name}", url, lambda: None, None, secret=True)


def _mail(mail: MailSettings) -> Finding:
    """Connect, STARTTLS and log in, as a message would; then hang up."""
    try:
        kept = mailer_of(mail).greet()
    except DeliveryError as error:
        return wrong("email", str(error))
    who = f"as {mail.username}" if mail.username else "without a login"
    text = f"{mail.host}:{mail.port} lets us in {who}, {kept}"
    if mail.tls == "none" and not is_loopback(f"{mail.host}:{mail.port}"):
        return note("email", f"{text}: everybody on the way can read what is told; use tls: starttls")
    return well("email", text)


def _reached(
    subject: str,
    url: str,
    context: Callable[[], ssl.SSLContext | None],
    proxy: str | None,
    *,
    secret: bool = False,
    signed: bool = True,
) -> Finding:
    """Connect, and shake hands where it is HTTPS; what is posted there is a message, so nothing is."""
    parts = urlsplit(url)
    try:
        text = _connected(parts, context, urlsplit(proxy) if proxy else None)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        return wrong(subject, f"{_place(parts)} is not trusted: {reason}")
    except SettingsError as error:
        return wrong(subject, str(error))
    except (OSError, ValueError) as error:
        return wrong(subject, f"{_place(parts)} cannot be reached: {getattr(error, 'strerror', None) or error}")
    if secret and parts.scheme != "https" and not is_loopback(_place(parts)):
        return note(subject, f"{text}; its address is its password, and goes over the wire as it is: use https")
    if not signed:
        return note(subject, f"{text}; what is sent is not signed: add secret_file")
    return well(subject, text)


def _connected(parts: SplitResult, context: Callable[[], ssl.SSLContext | None], proxy: SplitResult | None) -> str:
    """Return what was seen; raises OSError, of which SSLError is one."""
    host, port = _address(proxy or parts)
    with socket.create_connection((host, port), timeout=SECONDS) as plain:
        if proxy is not None:
            return f"{_place(parts)} is behind the proxy {host}:{port}, which accepts connections"
        if parts.scheme != "https":
            return f"{host}:{port} accepts connections"
        trusted = context() or ssl.create_default_context()
        with trusted.wrap_socket(plain, server_hostname=host) as wrapped:
            return f"{host}:{port} is trusted, {wrapped.version()}"


def _address(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "127.0.0.1", parts.port or _PORTS.get(parts.scheme, 80)


def _place(parts: SplitResult) -> str:
    """Return host and port: the rest may be a secret."""
    return "{}:{}".format(*_address(parts))
