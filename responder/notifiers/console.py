"""The console: the first message whole, then what changed."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TextIO

from pydantic import JsonValue

from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Receipt
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
        known = receipt.get("shown") if receipt else None
        shown = [one for one in known if isinstance(one, str)] if isinstance(known, list) else []
        first = f"{heading(notification)} · {line(notification.title, LINE)}"
        new = [one for one in _body(notification) if _digest(one) not in shown]
        if receipt is None:
            self._print([first, about(notification), *new])
        elif new or _digest(first) not in shown:
            self._print([f"↻ {first}", *new])
        digests: list[JsonValue] = [*dict.fromkeys([*shown, *map(_digest, (first, *new))])]
        return {"shown": digests[-REMEMBERED:]}

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
