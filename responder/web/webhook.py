"""``POST /webhook/{source}``: prove who you are, be bounded, be read, be durable, and only then 200."""

import asyncio
import hashlib
import hmac
from datetime import datetime

from aiohttp import web

from responder.domain.errors import IntakeError, StoreError, Unavailable
from responder.domain.ids import new_id
from responder.intake.formats import Glance, look
from responder.ports.store import NewDelivery
from responder.settings import HmacSettings, HttpAuth, SourceSettings
from responder.web.auth import basic, credentials, from_this_machine, refuse_foreign_pages, same
from responder.web.body import body_of
from responder.web.parts import PARTS, Parts, Refused, unavailable

_OFF_LOOP_BYTES = 256 * 1024
"""Larger bodies are read in a thread: they would hold up others for more than a few milliseconds."""
_RESULTS = {
    400: "malformed",
    401: "unauthorized",
    403: "unauthorized",
    408: "timeout",
    413: "too_large",
    503: "unavailable",
}


async def receive(request: web.Request) -> web.Response:
    """Accept one webhook body."""
    parts = request.app[PARTS]
    name = request.match_info["source"]
    source = parts.settings().sources.get(name)
    try:
        return await _receive(request, parts, name, source)
    except Refused as refused:
        result = _RESULTS.get(refused.status, "refused")
        known = name if source is not None else "(unknown)"
        parts.on_fact("delivery_refused", source=known, result=result, status=refused.status, reason=refused.error)
        raise


async def _receive(request: web.Request, parts: Parts, name: str, source: SourceSettings | None) -> web.Response:
    if source is None:
        message = f"there is no source {name[:60]!r}"
        raise Refused(404, message, "add it under `sources` in responder.yml, or mend the URL")
    if request.method == "PUT" and source.kind != "grafana":
        raise Refused(405, "Alertmanager posts", headers={"Allow": "POST"})
    _authenticate(request, parts, source)
    before = b"" if source.hmac is None else check_stamp(request, source.hmac, parts.now())
    proved = source.hmac is None or source.client_certificate or not source.auth.empty
    async with body_of(request, parts.bounds.webhook_bytes, None if proved else parts.unproven_webhooks) as body:
        if source.hmac is not None:
            check_signature(request, source.hmac, before, body)
        glance = await _look(source, body)
        delivery = NewDelivery(new_id(), name, parts.now(), body, glance.alerts)
        try:
            await parts.intake.submit(delivery)
        except Unavailable as error:
            raise unavailable(f"not stored: {error}") from error
        except StoreError as error:
            raise Refused(400, "this notification cannot be stored", str(error)[:200]) from error
    fields = {"alerts": glance.alerts, "quarantined": glance.quarantined, "flags": ",".join(glance.flags)}
    parts.on_fact("delivery", source=name, result="accepted", delivery=delivery.id, bytes=len(body), **fields)
    return web.Response(text=f"accepted {delivery.id}\n")


async def _look(source: SourceSettings, body: bytes) -> Glance:
    try:
        if len(body) > _OFF_LOOP_BYTES:
            return await asyncio.to_thread(look, source.kind, body)
        return look(source.kind, body)
    except IntakeError as error:
        raise Refused(error.status, str(error)) from error


def _authenticate(request: web.Request, parts: Parts, source: SourceSettings) -> None:
    """Raise Refused unless the sender shows what its source asks for (its signature comes after the body)."""
    if source.client_certificate and not has_client_certificate(request):
        raise Refused(401, "a client certificate is needed", "set tls_config.cert_file in the sender's http_config")
    if not source.auth.empty:
        if not shows(request, source.auth):
            scheme = "Basic" if source.auth.basic else source.auth.scheme
            missing = "wrong" if request.headers.get("Authorization") else "missing"
            hint = f"set {'basic_auth' if source.auth.basic else 'authorization'} in the sender's http_config"
            raise Refused(401, f"{missing} credentials", hint, {"WWW-Authenticate": f'{scheme} realm="responder"'})
        return
    if source.client_certificate or source.hmac is not None:
        return
    refuse_foreign_pages(request)
    if not (parts.settings().access.anonymous and from_this_machine(request)):
        raise Refused(401, "this source takes no alerts without credentials from elsewhere")


def shows(request: web.Request, auth: HttpAuth) -> bool:
    """Whether the Authorization header holds what ``auth`` asks for; compared in constant time."""
    scheme, rest = credentials(request)
    if auth.basic is not None:
        given = basic(rest) if scheme == "basic" else None
        name, password = given or ("", "")
        # Both are compared, so that the time does not tell which one was wrong.
        return all([same(name, auth.basic.username), same(password, auth.basic.password), given is not None])
    return scheme == auth.scheme.lower() and same(rest, auth.credentials or "")


def has_client_certificate(request: web.Request) -> bool:
    """Whether the connection showed a certificate that was verified."""
    return request.transport is not None and bool(request.transport.get_extra_info("peercert"))


def check_stamp(request: web.Request, wanted: HmacSettings, now: datetime) -> bytes:
    """Return what is signed ahead of the body; raises Refused when there is no signature, or it is stale."""
    if not _signature(request, wanted):
        raise Refused(401, f"the header {wanted.header} is missing", "set the HMAC secret of the contact point")
    if wanted.timestamp_header is None:
        return b""
    stamp = request.headers.get(wanted.timestamp_header, "").strip()
    if not stamp.isascii() or not stamp.isdecimal() or len(stamp) > 15:  # noqa: PLR2004 - seconds, even in milliseconds
        raise Refused(401, f"the header {wanted.timestamp_header} holds no time", "set it in the contact point")
    if abs(now.timestamp() - int(stamp)) > wanted.max_age.total_seconds():
        raise Refused(401, "the signature is stale", "compare the clocks of Grafana and the responder")
    return stamp.encode() + b":"


def check_signature(request: web.Request, wanted: HmacSettings, before: bytes, body: bytes) -> None:
    """Raise Refused unless Grafana's signature of ``body``, with what is signed ``before`` it, is right."""
    signed = hmac.new(wanted.secret.encode(), before, hashlib.sha256)
    signed.update(body)
    if not same(_signature(request, wanted), signed.hexdigest()):
        raise Refused(401, "the signature is wrong", "compare the HMAC secrets")


def _signature(request: web.Request, wanted: HmacSettings) -> str:
    return request.headers.get(wanted.header, "").strip().lower()
