"""What every request goes through: errors become answers, headers are set, the request is counted."""

import time

from aiohttp import web
from aiohttp.typedefs import Handler

from responder.domain.errors import Conflict, StoreError
from responder.web.parts import PARTS, Refused, unavailable

_READING = frozenset({"GET", "HEAD"})
_SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Server": "responder",
}


@web.middleware
async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Serve one request; whatever happens, the answer is short, holds no secret and never redirects."""
    parts = request.app[PARTS]
    started = time.monotonic()
    try:
        check_names(request)
        response = await handler(request)
    except Refused as refused:
        response = refusal(request, refused)
    except web.HTTPException as raised:
        response = refusal(request, _of_router(request, raised)) if raised.status >= 400 else raised  # noqa: PLR2004 - errors
    except Conflict as error:
        response = refusal(request, Refused(409, str(error), "look at it again"))
    except StoreError:
        hint = "ask again in a few seconds" if request.method in _READING else "send it again in a few seconds"
        response = refusal(request, unavailable("the store did not answer", hint))
    except Exception as error:  # noqa: BLE001 - a fault of ours is logged, the sender learns nothing of it
        parts.on_fact("http_failed", path=request.path, error=f"{type(error).__name__}: {error}")
        response = refusal(request, Refused(500, "internal error", "the responder's log says more"))
    if not response.prepared:
        response.headers.update({**_SAFE_HEADERS, **parts.web_config.current.headers})
    resource = request.match_info.route.resource
    name = resource.canonical if resource is not None else "(none)"
    seconds = time.monotonic() - started
    parts.on_fact("http_request", handler=name, method=request.method, code=response.status, seconds=seconds)
    return response


def check_names(request: web.Request) -> None:
    """Refuse a client certificate with none of the allowed names; the handshake itself has verified it."""
    tls = request.app[PARTS].web_config.current.tls
    if tls is None or not tls.client_allowed_sans:
        return
    certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
    names = {value for _, value in (certificate or {}).get("subjectAltName", ())}
    if not names & tls.client_allowed_sans:
        raise Refused(403, "this client certificate has none of the allowed names", "see client_allowed_sans")


def _of_router(request: web.Request, raised: web.HTTPException) -> Refused:
    if isinstance(raised, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(raised.allowed_methods))
        return Refused(405, f"{request.method} is not for this path", f"use {allowed}", {"Allow": allowed})
    if raised.status == 404:  # noqa: PLR2004 - not found
        return Refused(
            404, "there is nothing here", "/api/v1/openapi.json lists the API; webhooks go to /webhook/SOURCE"
        )
    return Refused(raised.status, raised.reason.lower())


def refusal(request: web.Request, refused: Refused) -> web.Response:
    """Answer JSON to the API, short text to everybody else (Alertmanager logs it verbatim)."""
    error, hint = (str(request.app[PARTS].mask(text)) for text in (refused.error, refused.hint))
    refused = Refused(refused.status, error, hint, refused.headers)
    if request.path.startswith("/api/"):
        body = {"error": refused.error, **({"hint": refused.hint} if refused.hint else {})}
        return web.json_response(body, status=refused.status, headers=refused.headers)
    text = refused.error + (f"; {refused.hint}" if refused.hint else "")
    return web.Response(text=f"{text}\n", status=refused.status, headers=refused.headers)
