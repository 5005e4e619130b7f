"""Envelopes of Socket Mode: what came through the connection that we opened, and what is said back with it."""

import hashlib
from collections.abc import Mapping

from pydantic import JsonValue

from responder.web.parts import Refused
from responder.web.slack.desk import Desk
from responder.web.slack.http import shown
from responder.web.slack.payloads import Command, Pressed, command, pressed


async def take_envelope(
    desk: Desk, envelope_id: str, kind: str, payload: Mapping[str, JsonValue]
) -> Mapping[str, JsonValue] | None:
    """Take up an envelope; returns what to acknowledge it with, None when it must not be acknowledged.

    What is none of our business is acknowledged: Slack would only show a warning, or send it again.
    """
    try:
        asked = _asked(kind, payload)
    except Refused as refused:
        desk.parts.on_fact("slack_envelope_failed", error=refused.error)
        return {}
    if asked is None:
        return {}
    outcome = await desk.take(asked, hashlib.sha256(f"socket {envelope_id}".encode()).hexdigest(), "socket")
    if isinstance(asked, Command):
        return shown(outcome.text)
    return {} if outcome.committed else None


def _asked(kind: str, payload: Mapping[str, JsonValue]) -> Pressed | Command | None:
    if kind == "slash_commands":
        return command(payload)
    return pressed(payload) if kind == "interactive" else None
