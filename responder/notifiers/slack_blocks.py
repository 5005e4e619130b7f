"""An incident as Slack blocks. What came with an alert stands in plain text objects, which Slack does not interpret."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from responder.domain.buttons import Button, Press
from responder.domain.notification import Entry, Notification
from responder.notifiers.text import about, block, cut, heading, line, plain

HEADER, SECTION, FALLBACK = 150, 2900, 3000
"""Characters; Slack takes 150, 3,000 and, when editing, 4,000 (docs.slack.dev, Block Kit and chat.update)."""
TITLE, WHY, BY_HAND, SUMMARY, MEANING, LINE = 500, 700, 1500, 600, 650, 300
"""Together with links and buttons they stay below 12,500: Slack refuses about 13,200 (bolt-js issue 2509)."""
URL, LINKS = 500, 5
LABEL, ASKS, SHOWS, CHOICE = 75, 100, 300, 30
"""Characters of a button and its dialog (docs.slack.dev, button element and confirmation dialog object)."""
_CALLS = re.compile(r"<(?=[!@#])")
_ENTITY = re.compile(r"&(?=(?:lt|gt|amp);)")

Block = Mapping[str, Any]


def harmless(text: str) -> str:
    """Return text that reads the same and calls nobody, even where a client were to interpret it."""
    return _ENTITY.sub("\uff06", _CALLS.sub("\u2039", text))


def escaped(text: str) -> str:
    """Escape the three characters that control mrkdwn."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fallback(news: Notification) -> str:
    """Return the whole outcome in a line, for notifications and for clients without blocks."""
    return cut(escaped(line(news.fallback, FALLBACK // 2)), FALLBACK)


def blocks(news: Notification, *, pressable: bool = False) -> Sequence[Block]:
    """Return the message: at most eight blocks. With ``pressable`` somebody hears of it when a button is pressed."""
    shown = [_button(one, place) for place, one in enumerate(news.buttons)] if pressable else []
    return [*_blocks(news), *([{"type": "actions", "elements": shown}] if shown else [])]


def _blocks(news: Notification) -> Iterator[Block]:
    title = harmless(line(news.title, TITLE))
    whole = f"{heading(news)} · {title}"
    yield {"type": "header", "text": _text(whole if len(whole) <= HEADER else cut(heading(news), HEADER))}
    if len(whole) > HEADER:
        yield _section(title)
    links = _links(news)
    yield {"type": "context", "elements": [_text(harmless(about(news))), *([links] if links else [])]}
    said = [line(news.summary, SUMMARY)] if news.summary else []
    said += [line(f"{one.symbol} {one.text}", LINE) for one in news.lines]
    if said:
        yield _section(harmless(block(said, SECTION)))
    if news.why:
        yield _section(harmless(f"Why: {line(news.why, WHY)}"))
    if news.by_hand:
        yield _section(harmless(cut(f"By hand: {plain(news.by_hand).strip()}", BY_HAND)))
    facts = dict(news.facts)
    notes = [_text(harmless(f"{one}: {line(facts[one], MEANING)}")) for one in ("meaning", "impact") if facts.get(one)]
    if notes:
        yield {"type": "context", "elements": notes}


_STYLES: Mapping[Press, str] = {Press.APPROVE: "primary", Press.UNDO: "danger", Press.STOP: "danger"}


def _button(one: Button, place: int) -> Block:
    """Return a button whose value says which run and which revision of it was shown: what comes back is only that.

    Slack refuses a message in which two have the same ``action_id``.
    """
    lines = [line(text, SHOWS) for text in one.shows]
    dialog = {
        "title": _text(harmless(line(one.asks, ASKS))),
        "text": _text(harmless(block(lines, SHOWS) if len(lines) > 1 else cut("".join(lines) or one.label, SHOWS))),
        "confirm": _text(harmless(line(one.label, CHOICE))),
        "deny": _text("Cancel"),
    }
    style = {"style": _STYLES[one.press]} if one.press in _STYLES else {}
    return {
        "type": "button",
        "action_id": f"responder_{one.press}:{place}",
        "text": _text(harmless(line(one.label, LABEL))),
        "value": value_of(one),
        "confirm": dialog,
        **style,
    }


def value_of(one: Button) -> str:
    """Return what a button carries: incident, run and revision. Ids and digests only, so it is far below 2,000."""
    return json.dumps({"incident": one.incident, "run": one.run, "revision": one.revision}, separators=(",", ":"))


def thread(entries: Sequence[Entry]) -> tuple[str, Sequence[Block]]:
    """Return one reply with these entries: its fallback and its blocks."""
    said = harmless(block([f"{one.at:%H:%M:%S} {line(one.text, LINE)}" for one in entries], SECTION))
    return cut(escaped(said), FALLBACK), [_section(said)]


def _section(text: str) -> Block:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> Block:
    return {"type": "plain_text", "text": text or " ", "emoji": False}


def _links(news: Notification) -> Block | None:
    shown = [(text, url) for text, url in news.links if len(url) <= URL and url.isprintable()][:LINKS]
    if not shown:
        return None
    return {"type": "mrkdwn", "verbatim": True, "text": " · ".join(_link(text, url) for text, url in shown)}


def _link(text: str, url: str) -> str:
    return f"<{escaped(url.replace('|', '%7C').replace('<', '%3C').replace('>', '%3E'))}|{escaped(line(text, 40))}>"
