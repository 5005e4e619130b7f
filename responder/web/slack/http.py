"""``POST /slack/interactions`` and ``/slack/commands``: signed by Slack, taken up once, answered within 3 seconds."""

import hashlib
from collections.abc import Mapping

from aiohttp import web
from pydantic import JsonValue

from responder.web.body import body_of
from responder.web.parts import PARTS, Refused
from responder.web.slack.desk import Desk, Outcome
from responder.web.slack.payloads import command, form, interaction, pressed
from responder.web.slack.signature import check_signature, check_stamp

DESK: web.AppKey[Desk] = web.AppKey("desk", Desk)


def add_routes(app: web.Application, desk: Desk) -> None:
    """Serve what Slack calls."""
    app[DESK] = desk
    app.router.add_post("/slack/interactions", interactions)
    app.router.add_post("/slack/commands", commands)


async def interactions(request: web.Request) -> web.Response:
    """Take up a pressed button; what is not one of ours is none of our business."""
    fields, once = await _signed(request)
    if "payload" not in fields:
        raise Refused(400, "the field payload is missing")
    asked = pressed(interaction(fields["payload"]))
    if asked is None:
        return web.Response()
    outcome = await request.app[DESK].take(asked, once, "https")
    return web.Response() if outcome.status == 200 else _refusal(outcome)  # noqa: PLR2004 - fine


async def commands(request: web.Request) -> web.Response:
    """Obey a command; its answer is shown to whoever typed it."""
    fields, once = await _signed(request)
    if fields.get("ssl_check") == "1":
        return web.Response()
    outcome = await request.app[DESK].take(command(fields), once, "https")
    if outcome.status == 409:  # noqa: PLR2004 - replayed
        return _refusal(outcome)
    return web.json_response(shown(outcome.text))


def shown(text: str) -> Mapping[str, JsonValue]:
    """Return an answer that only whoever asked sees, and that Slack does not interpret."""
    block: dict[str, JsonValue] = {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}}
    fallback = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"response_type": "ephemeral", "text": fallback, "blocks": [block]}


def _refusal(outcome: Outcome) -> web.Response:
    return web.Response(status=outcome.status, text=f"{outcome.text}\n")


async def _signed(request: web.Request) -> tuple[Mapping[str, str], str]:
    """Return the fields of a form that Slack has signed, and a name for the request; raises Refused."""
    parts = request.app[PARTS]
    slack = parts.settings().notify.slack
    if slack is None or slack.signing_secret is None:
        raise Refused(
            404, "there is nothing here", "notify.slack.signing_secret lets Slack call; Socket Mode needs none"
        )
    stamp, given = (request.headers.get(f"X-Slack-{name}", "") for name in ("Request-Timestamp", "Signature"))
    wall = request.app[DESK].wall
    try:
        check_stamp(stamp, wall())
        async with body_of(request, parts.bounds.signed_bytes, parts.unproven) as body:
            signature = check_signature(slack.signing_secret, stamp, given, body, wall())
            return form(body), hashlib.sha256(signature.encode()).hexdigest()
    except Refused as refused:
        if refused.status == 401:  # noqa: PLR2004 - who sent it is not proved
            remote = request.remote or ""
            parts.on_fact("access_refused", path=request.path, remote=remote, status=401, reason=refused.error)
        raise
