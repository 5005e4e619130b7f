"""From what Slack sends to what somebody asks for: values, whichever way they came. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from pydantic import JsonValue
from pydantic_core import from_json

from responder.domain.buttons import Press
from responder.web.parts import Refused

PREFIX = "responder_"
"""Before what a button asks for, in its ``action_id``; its place follows (notifiers/slack_blocks.py)."""
LONGEST_TEXT = 2000
_LONGEST_ID = 200
_FIELDS = 200
_PRESSES: Mapping[str, Press] = {f"{PREFIX}{one}": one for one in Press}


@dataclass(frozen=True, slots=True)
class Pressed:
    """A user pressed a button. ``reply_to`` is where the answer to them goes."""

    user: str
    press: Press
    incident: str
    run: str
    revision: str
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A user typed ``/responder TEXT``."""

    user: str
    text: str
    reply_to: str = ""


def form(body: bytes) -> Mapping[str, str]:
    """Read a form; raises Refused (400)."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError as error:
        raise Refused(400, "the body is not a form") from error
    return dict(pairs)


def interaction(text: str) -> Mapping[str, JsonValue]:
    """Read the field ``payload`` of an interaction; raises Refused (400)."""
    try:
        found = from_json(text)
    except ValueError as error:
        raise Refused(400, "the field payload is not JSON") from error
    if not isinstance(found, dict):
        raise Refused(400, "the field payload is not a JSON object")
    return found


def pressed(payload: Mapping[str, JsonValue]) -> Pressed | None:
    """Return the button that was pressed; None when nothing of ours was. Raises Refused (400)."""
    if payload.get("type") != "block_actions":
        return None
    actions = payload.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    press = _PRESSES.get(_text(first, "action_id").partition(":")[0])
    if press is None:
        return None
    try:
        value = from_json(_text(first, "value"))
    except ValueError as error:
        raise Refused(400, "the button carries nothing of ours") from error
    incident, run = _text(value, "incident"), _text(value, "run")
    if not incident or max(len(incident), len(run)) > _LONGEST_ID:
        raise Refused(400, "the button carries nothing of ours")
    user = _text(payload.get("user"), "id")
    return Pressed(user, press, incident, run, _text(value, "revision"), _text(payload, "response_url"))


def command(fields: Mapping[str, JsonValue]) -> Command:
    """Return what was typed."""
    return Command(_text(fields, "user_id"), _text(fields, "text")[:LONGEST_TEXT], _text(fields, "response_url"))


def _text(of: object, name: str) -> str:
    value = of.get(name) if isinstance(of, Mapping) else None
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else ""
