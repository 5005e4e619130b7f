"""An incident as Slack blocks. What came with an alert stands in plain text objects, which Slack does not interpret."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from responder.domain.buttons import Button, Press
from responder.domain.notification import Entry, Notification, Question
from responder.notifiers.text import about, block, cut, heading, line, notes, plain

HEADER, SECTION, FALLBACK = 150, 2900, 3000
"""Characters; Slack takes 150, 3,000 and, when editing, 4,000 (docs.slack.dev, Block Kit and chat.update)."""
WHOLE = 10_000
"""Characters of one message: Slack refuses somewhere above 13,000 (bolt-js issue 2509), and nobody reads that far."""
TITLE, WHY, NEXT, BY_HAND, SUMMARY, MEANING, LINE = 400, 700, 300, 1500, 600, 600, 300
FOUND = 1500
LEAST = 600
"""Characters that what was done has, however much there is to say besides."""
URL, LINKS = 400, 7
LABEL, ASKS, SHOWS, CHOICE = 75, 100, 300, 30
"""Characters of a button and its dialog (docs.slack.dev, button element and confirmation dialog object)."""
_CALLS = re.compile(r"<(?=[!@#])")
_ENTITY = re.compile(r"&(?=(?:lt|gt|amp);)")

Block = Mapping[str, Any]
Links = Sequence[tuple[str, str]]
"""(words, URL) pairs."""


def harmless(text: str) -> str:
    """Return text that reads the same and calls nobody, even where a client were to interpret it."""
    return _ENTITY.sub("\uff06", _CALLS.sub("\u2039", text))


def escaped(text: str) -> str:
    """Escape the three characters that control mrkdwn."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fallback(news: Notification) -> str:
    """Return the whole outcome in a line, for notifications and for clients without blocks."""
    return cut(escaped(line(news.fallback, FALLBACK // 2)), FALLBACK)


def blocks(news: Notification, *, pressable: bool = False, mention: str = "", asked: Links = ()) -> Sequence[Block]:
    """Return the message: at most ten blocks. With ``pressable`` somebody hears of it when a button is pressed.

    ``mention`` is who is called, in Slack's own writing; ``asked`` are (words, URL) of messages that wait for a yes.
    """
    shown = [_button(one, place) for place, one in enumerate(news.buttons)] if pressable else []
    head = [*_head(news, mention)]
    pressed = [{"type": "actions", "elements": shown}] if shown else []
    tail = [*_tail(news, asked), *_notes(news), *pressed]
    if characters([*head, *tail]) > WHOLE - LEAST:
        tail = [*_tail(news, asked), *pressed]
    said = [line(news.summary, SUMMARY)] if news.summary else []
    said += [line(f"{one.symbol} {one.text}", LINE) for one in news.lines]
    room = min(SECTION, max(LEAST, WHOLE - characters([*head, *tail])))
    done = [_section(harmless(block(said, room, "in the thread")))] if said else []
    return [*head, *done, *tail]


def _head(news: Notification, mention: str) -> Iterator[Block]:
    title = harmless(line(news.title, TITLE))
    whole = f"{heading(news)} · {title}"
    yield {"type": "header", "text": _text(whole if len(whole) <= HEADER else cut(heading(news), HEADER))}
    if len(whole) > HEADER:
        yield _section(title)
    called = [{"type": "mrkdwn", "verbatim": True, "text": mention}] if mention else []
    links = _links(news.links)
    yield {"type": "context", "elements": [*called, _text(harmless(about(news))), *([links] if links else [])]}


def _tail(news: Notification, asked: Links) -> Iterator[Block]:
    said = [(name, line(text, most)) for name, text, most in (
        ("Why", news.why, WHY), ("Next", news.ahead, NEXT)
    ) if text]  # fmt: skip
    if said:
        yield _labelled(said)
    waiting = _links(asked)
    if waiting:
        yield {"type": "context", "elements": [_text("Waits for a yes:"), waiting]}
    if news.by_hand:
        yield _by_hand(harmless(cut(plain(news.by_hand).strip(), BY_HAND)))


def _notes(news: Notification) -> Iterator[Block]:
    """Give the small print: what was found out, and what the alert means."""
    if news.notes:
        found = [line(one, LINE) for one in notes(news)]
        yield {"type": "context", "elements": [_text(harmless(block(found, FOUND)))]}
    facts = dict(news.facts)
    words = [_text(harmless(f"{one}: {line(facts[one], MEANING)}")) for one in ("meaning", "impact") if facts.get(one)]
    if words:
        yield {"type": "context", "elements": words}


def _labelled(said: Sequence[tuple[str, str]]) -> Block:
    """Return lines with a bold word before each. Rich text is never interpreted: what looks like markup stays text."""
    parts: list[Block] = []
    for name, text in said:
        parts += [_bold(f"{name}: "), {"type": "text", "text": f"{harmless(text)}\n"}]
    parts[-1] = {"type": "text", "text": str(parts[-1]["text"]).rstrip("\n")}
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}


def _by_hand(text: str) -> Block:
    """Return what a person can do, to be copied as it is."""
    label = {"type": "rich_text_section", "elements": [_bold("By hand")]}
    commands = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [label, commands]}


def _bold(text: str) -> Block:
    return {"type": "text", "text": text, "style": {"bold": True}}


def question(one: Question, incident: Notification, *, pressable: bool, back: str = "") -> tuple[str, Sequence[Block]]:
    """Return the message of one run that asks, or what has become of it: its fallback and its blocks.

    ``back`` is the URL of the incident's message.
    """
    head = f"{one.icon} {line(one.outcome, TITLE)} · {harmless(line(one.title, TITLE))}"
    body: list[Block] = [{"type": "header", "text": _text(cut(head, HEADER))}]
    links = _links([("incident", back)]) if back else None
    named = _text(harmless(line(f"{incident.severity} · {one.alert}", TITLE)))
    body.append({"type": "context", "elements": [named, *([links] if links else [])]})
    said = [line(f"{each.symbol} {each.text}", LINE) for each in one.lines]
    if said:
        body.append(_section(harmless(block(said, SECTION))))
    shown = [_button(each, place) for place, each in enumerate(one.buttons)] if pressable else []
    return cut(escaped(head), FALLBACK), [*body, *([{"type": "actions", "elements": shown}] if shown else [])]


def characters(value: object) -> int:
    """Count the characters of every text below ``value``, as Slack counts those of a message."""
    if isinstance(value, list | tuple):
        return sum(characters(one) for one in value)
    if not isinstance(value, Mapping):
        return 0
    own = len(value["text"]) if isinstance(value.get("text"), str) else 0
    return own + sum(characters(one) for one in value.values())


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


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply in the thread: its fallback, its blocks, and the keys of the entries that it holds."""

    text: str
    blocks: Sequence[Block]
    keys: tuple[str, ...]


def thread(entries: Sequence[Entry], mention: str = "") -> Sequence[Reply]:
    """Return the replies with these entries: as few as Slack takes; ``mention`` stands before what calls a person."""
    replies: list[Reply] = []
    keys: list[str] = []
    parts: list[Block] = []
    for blocks_, some in _parts(entries, mention):
        if parts and characters([*parts, *blocks_]) > WHOLE:
            replies.append(_reply(parts, keys))
            keys, parts = [], []
        keys += some
        parts += blocks_
    return [*replies, *([_reply(parts, keys)] if parts else [])]


def _reply(parts: Sequence[Block], keys: Sequence[str]) -> Reply:
    first = next((str(one["text"]["text"]) for one in parts if one["type"] == "section"), " ")
    return Reply(cut(escaped(first), FALLBACK), list(parts), tuple(keys))


def _parts(entries: Sequence[Entry], mention: str) -> Iterator[tuple[list[Block], list[str]]]:
    """Give blocks with the keys of what they show: lines are put together, what is long stands by itself."""
    lines: list[str] = []
    keys: list[str] = []
    for one in entries:
        said = harmless(f"{one.at:%H:%M:%S} {line(one.text, LINE)}")
        alone = bool(one.body) or (one.calls and bool(mention))
        if lines and (alone or sum(map(len, lines)) + len(lines) + len(said) > SECTION):
            yield [_section("\n".join(lines))], keys
            lines, keys = [], []
        if not alone:
            lines.append(said)
            keys.append(one.key)
            continue
        called = [{"type": "section", "text": {"type": "mrkdwn", "verbatim": True, "text": mention}}]
        yield [*(called if one.calls and mention else []), _section(said), *_body(one.body)], [one.key]
    if lines:
        yield [_section("\n".join(lines))], keys


def _body(text: str) -> list[Block]:
    """Return a long text as it is, cut where a message ends; whoever wants all of it has the run's page."""
    shown = harmless(cut(plain(text).strip("\n"), SECTION))
    if not shown:
        return []
    return [{
        "type": "rich_text",
        "elements": [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": shown}]}],
    }]  # fmt: skip


def _section(text: str) -> Block:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> Block:
    return {"type": "plain_text", "text": text or " ", "emoji": False}


def _links(links: Links) -> Block | None:
    shown = [(text, url) for text, url in links if len(url) <= URL and url.isprintable()][:LINKS]
    if not shown:
        return None
    return {"type": "mrkdwn", "verbatim": True, "text": " · ".join(_link(text, url) for text, url in shown)}


def _link(text: str, url: str) -> str:
    return f"<{escaped(url.replace('|', '%7C').replace('<', '%3C').replace('>', '%3E'))}|{escaped(line(text, 40))}>"
