"""The console: the first message whole, then what changed."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TextIO

from pydantic import JsonValue

from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Receipt, repeated
from responder.notifiers.text import about, cut, heading, line, plain

LINE, BY_HAND = 400, 2000
REMEMBERED = 200
"""Printed lines that a receipt knows."""


class ConsoleNotifier:
    """Prints messages; an edit is an update that shows only what is new."""

    kind = "console"

    def __init__(self, out: TextIO) -> None:
        """Print to ``out``."""
        self._out = out

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Print the message, or what changed since."""
        known, new = _shown(receipt), _new(notification, receipt)
        first = _first(notification)
        if not new:
            return {"shown": [*known], "first": _digest(first)}
        shown = _first(repeated(notification)) if _in_doubt(receipt) else first
        told = new[1:]
        self._print([f"↻ {shown}", *told] if known else [shown, about(notification), *told])
        digests: list[JsonValue] = [*dict.fromkeys([*known, *map(_digest, new)])]
        return {"shown": digests[-REMEMBERED:], "first": _digest(first)}

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        """Say that something is being printed: a process that dies then leaves nobody who knows."""
        return {"shown": [*_shown(receipt)], "first": ""} if _new(notification, receipt) else None

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """Nobody can tell what a console has shown."""
        return None

    def _print(self, lines: Sequence[str]) -> None:
        text = "\n    ".join(lines)
        try:
            encoding = getattr(self._out, "encoding", None) or "utf-8"
            self._out.write(text.encode(encoding, "replace").decode(encoding) + "\n")
            self._out.flush()
        except (OSError, ValueError) as error:
            msg = f"the console cannot be written to: {error}"
            raise DeliveryError(msg) from error


def _first(news: Notification) -> str:
    return f"{heading(news)} · {line(news.title, LINE)}"


def _shown(receipt: Receipt | None) -> Sequence[str]:
    """Return the digests of the lines that were printed."""
    known = receipt.get("shown") if receipt else None
    return [one for one in known if isinstance(one, str)] if isinstance(known, list) else []


def _in_doubt(receipt: Receipt | None) -> bool:
    return receipt is not None and receipt.get("first") == ""


def _new(news: Notification, receipt: Receipt | None) -> Sequence[str]:
    """Return the first line and what is new below it; empty when the last that was printed says it all."""
    shown, first = _shown(receipt), _first(news)
    below = [one for one in _body(news) if _digest(one) not in shown]
    last = receipt.get("first", _digest(first) if _digest(first) in shown else "") if receipt else ""
    return [first, *below] if below or last != _digest(first) else []


def _body(news: Notification) -> Iterator[str]:
    if news.summary:
        yield line(news.summary, LINE)
    for one in news.lines:
        yield line(f"{one.symbol} {one.text}", LINE)
    if news.why:
        yield f"why: {line(news.why, LINE)}"
    if news.ahead:
        yield f"next: {line(news.ahead, LINE)}"
    if news.by_hand:
        yield "by hand: " + cut(plain(news.by_hand).strip(), BY_HAND).replace("\n", "\n             ")
    for _, text in news.notes:
        yield f"found: {line(text, LINE)}"
    facts = dict(news.facts)
    for name in ("meaning", "impact"):
        if facts.get(name):
            yield f"{name}: {line(facts[name], LINE)}"
    for text, url in news.links:
        yield f"{text}: {line(url, 2000)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
