"""An incident as Slack blocks. What came with an alert stands in plain text objects, which Slack does not interpret."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from responder.domain.notification import Entry, Notification
from responder.notifiers.text import about, block, cut, heading, line, plain

HEADER, SECTION, FALLBACK = 150, 2900, 3000
"""Characters; Slack takes 150, 3,000 and, when editing, 4,000 (docs.slack.dev, Block Kit and chat.update)."""
TITLE, WHY, BY_HAND, SUMMARY, MEANING, LINE = 500, 700, 1500, 600, 650, 300
"""Together with the links they stay below 11,000: Slack refuses about 13,200 (bolt-js issue 2509)."""
URL, LINKS = 500, 5
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


def blocks(news: Notification) -> Sequence[Block]:
    """Return the message: at most seven blocks."""
    return list(_blocks(news))


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
