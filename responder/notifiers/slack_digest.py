"""A message whose lines link to what each is about, as Slack blocks."""

from collections.abc import Iterator, Sequence

from responder.domain.notification import Notification
from responder.notifiers.slack_blocks import HEADER, LINE, URL, Block, escaped, harmless
from responder.notifiers.text import about, cut, heading, line

_MOST = 40
"""Lines; Slack takes fifty blocks (docs.slack.dev, Block Kit)."""


def linked(news: Notification) -> bool:
    """Say whether it is such a message."""
    return any(one.url for one in news.lines)


def linked_blocks(news: Notification) -> Sequence[Block]:
    """Return the blocks: a heading, then a line for each with its link. What came with alerts stands in plain text."""
    return [*_blocks(news)]


def _blocks(news: Notification) -> Iterator[Block]:
    yield {"type": "header", "text": _text(cut(f"{heading(news)} · {harmless(line(news.title, HEADER))}", HEADER))}
    yield {"type": "context", "elements": [_text(harmless(about(news)))]}
    yield {"type": "section", "text": _text(harmless(line(news.summary, LINE)))}
    for one in news.lines[:_MOST]:
        link = [_link("open", one.url)] if one.url and len(one.url) <= URL and one.url.isprintable() else []
        yield {"type": "context", "elements": [_text(harmless(line(f"{one.symbol} {one.text}", LINE))), *link]}
    links = [_link(text, url) for text, url in news.links if len(url) <= URL and url.isprintable()]
    if links:
        yield {"type": "context", "elements": links[:5]}


def _text(text: str) -> Block:
    return {"type": "plain_text", "text": text or " ", "emoji": False}


def _link(text: str, url: str) -> Block:
    safe = escaped(url.replace("|", "%7C").replace("<", "%3C").replace(">", "%3E"))
    return {"type": "mrkdwn", "verbatim": True, "text": f"<{safe}|{escaped(line(text, 40))}>"}
