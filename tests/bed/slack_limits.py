"""What Slack refuses in a message's text, blocks and metadata.

Source: docs.slack.dev, Block Kit reference and chat.postMessage; the total over all blocks is undocumented, see
`BLOCKS_TOTAL`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

POST_TEXT = 40_000  # characters; longer text is truncated without an error
UPDATE_TEXT = 4_000  # characters; msg_too_long above
BLOCKS = 50
ATTACHMENTS = 100
BLOCKS_TOTAL = 13_200
"""Characters of text over all blocks before msg_blocks_too_long, as bolt-js issue 2509 measured it."""

_Block = Mapping[str, Any]
_SECTION_TEXT, _FIELD, _FIELDS = 3_000, 2_000, 10
_HEADER, _CONTEXT, _ACTIONS, _MARKDOWN = 150, 10, 25, 12_000
_BUTTON, _VALUE, _URL, _ID, _ALT = 75, 2_000, 3_000, 255, 2_000
_CONFIRM_TITLE, _CONFIRM_TEXT, _CONFIRM_CHOICE = 100, 300, 30


class Refused(Exception):
    """A call ends with ``{"ok": false, "error": …}``."""


class Slow(Exception):
    """A call ends with 429."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = max(1, math.ceil(seconds))


def refusal(text: str | None, blocks: object, attachments: object, metadata: object, *, update: bool) -> str | None:
    """Return Slack's error for a message, None when it is acceptable."""
    if not text and not blocks and not attachments:
        return "no_text"
    if update and text and len(text) > UPDATE_TEXT:
        return "msg_too_long"
    if isinstance(attachments, list) and len(attachments) > ATTACHMENTS:
        return "too_many_attachments"
    return _blocks(blocks) or _metadata(metadata)


def _blocks(blocks: object) -> str | None:
    if blocks is None:
        return None
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        return "invalid_blocks_format"
    if complaints(blocks):
        return "invalid_blocks"
    return "msg_blocks_too_long" if _characters(blocks) > BLOCKS_TOTAL else None


def complaints(blocks: list[_Block]) -> list[str]:
    """Return what is wrong with each block, in words for the author of a test."""
    found = [f"{len(blocks)} blocks, at most {BLOCKS}"] if len(blocks) > BLOCKS else []
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(ids) != len(set(ids)):
        found.append("a block_id is used twice")
    for number, block in enumerate(blocks):
        check = _CHECKS.get(str(block.get("type")))
        wrong = [f"unknown type {block.get('type')!r}"] if check is None else check(block)
        if not 0 < len(str(block.get("block_id", "x"))) <= _ID:
            wrong.append(f"block_id longer than {_ID}")
        found += [f"block {number}: {what}" for what in wrong]
    return found


def _text(value: object, limit: int, name: str, *, plain: bool = False) -> list[str]:
    """Check a text object; `plain` asks for plain_text."""
    if not isinstance(value, dict):
        return [f"{name} is not a text object"]
    kinds = {"plain_text"} if plain else {"plain_text", "mrkdwn"}
    if value.get("type") not in kinds:
        return [f"{name}: type {value.get('type')!r} is not allowed"]
    content = value.get("text")
    if not isinstance(content, str) or not content:
        return [f"{name} is empty"]
    return [f"{name}: {len(content)} characters, at most {limit}"] if len(content) > limit else []


def _section(block: _Block) -> list[str]:
    fields = block.get("fields")
    if "text" not in block and not fields:
        return ["a section needs text or fields"]
    wrong = _text(block["text"], _SECTION_TEXT, "text") if "text" in block else []
    if fields is not None:
        if not isinstance(fields, list) or not 0 < len(fields) <= _FIELDS:
            return [*wrong, f"fields: between 1 and {_FIELDS}"]
        wrong += [what for one in fields for what in _text(one, _FIELD, "field")]
    if "accessory" in block:
        wrong += _element(block["accessory"])
    return wrong


def _header(block: _Block) -> list[str]:
    return _text(block.get("text"), _HEADER, "text", plain=True)


def _context(block: _Block) -> list[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 0 < len(elements) <= _CONTEXT:
        return [f"elements: between 1 and {_CONTEXT}"]
    return [
        what
        for one in elements
        for what in (_image(one) if one.get("type") == "image" else _text(one, _SECTION_TEXT, "element"))
    ]


def _actions(block: _Block) -> list[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 0 < len(elements) <= _ACTIONS:
        return [f"elements: between 1 and {_ACTIONS}"]
    ids = [one["action_id"] for one in elements if "action_id" in one]
    wrong = [] if len(ids) == len(set(ids)) else ["an action_id is used twice"]
    return wrong + [what for one in elements for what in _element(one)]


def _element(one: _Block) -> list[str]:
    """Check a button; other interactive elements pass unseen."""
    wrong = [f"action_id longer than {_ID}"] if len(str(one.get("action_id", ""))) > _ID else []
    if one.get("type") != "button":
        return wrong
    wrong += _text(one.get("text"), _BUTTON, "button", plain=True)
    if len(str(one.get("value", ""))) > _VALUE:
        wrong.append(f"value longer than {_VALUE}")
    if len(str(one.get("url", ""))) > _URL:
        wrong.append(f"url longer than {_URL}")
    if one.get("style", "primary") not in {"primary", "danger"}:
        wrong.append(f"style {one['style']!r}")
    return wrong + _confirm(one["confirm"]) if "confirm" in one else wrong


def _confirm(dialog: _Block) -> list[str]:
    return [
        *_text(dialog.get("title"), _CONFIRM_TITLE, "confirm title", plain=True),
        *_text(dialog.get("text"), _CONFIRM_TEXT, "confirm text"),
        *_text(dialog.get("confirm"), _CONFIRM_CHOICE, "confirm yes", plain=True),
        *_text(dialog.get("deny"), _CONFIRM_CHOICE, "confirm no", plain=True),
    ]


def _image(block: _Block) -> list[str]:
    wrong = [] if 0 < len(str(block.get("alt_text", ""))) <= _ALT else ["alt_text"]
    return wrong if 0 < len(str(block.get("image_url", ""))) <= _URL else [*wrong, "image_url"]


def _markdown(block: _Block) -> list[str]:
    content = block.get("text")
    return [] if isinstance(content, str) and 0 < len(content) <= _MARKDOWN else ["text"]


def _anything(block: _Block) -> list[str]:
    return []


_CHECKS: dict[str, Callable[[_Block], list[str]]] = {
    "actions": _actions,
    "context": _context,
    "divider": _anything,
    "header": _header,
    "image": _image,
    "markdown": _markdown,
    "rich_text": _anything,
    "section": _section,
}


def _characters(value: object) -> int:
    """Count the characters of every text below `value`."""
    if isinstance(value, list):
        return sum(_characters(one) for one in value)
    if not isinstance(value, dict):
        return 0
    own = len(value["text"]) if isinstance(value.get("text"), str) else 0
    return own + sum(_characters(one) for one in value.values())


def _metadata(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        return "invalid_metadata_format"
    well_formed = isinstance(value.get("event_type"), str) and isinstance(value.get("event_payload"), dict)
    return None if well_formed else "invalid_metadata_schema"
