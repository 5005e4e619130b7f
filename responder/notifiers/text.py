"""What every notifier does to text before it leaves: no control characters, no direction tricks, no overlong parts."""

import unicodedata
from collections.abc import Mapping, Sequence

from responder.domain.notification import Notification

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co"})
"""Unicode categories that show nothing and may change what is shown."""
_HARMLESS = frozenset("\n\u200d\ufe0f")
"""A line's end, and what holds emoji together."""


ABOUT = 240


def plain(text: str) -> str:
    """Return ``text`` without control, format and surrogate characters; tabs and returns become spaces."""
    text = text.replace("\r\n", "\n").replace("\t", " ").replace("\r", " ")
    return "".join(one for one in text if one in _HARMLESS or unicodedata.category(one) not in _HARMFUL)


def line(text: str, length: int) -> str:
    """Return ``text`` harmless, on one line and cut to ``length`` characters."""
    return cut(" ".join(plain(text[: 4 * length]).split()), length)


def cut(text: str, length: int) -> str:
    """Return ``text`` cut to ``length`` characters, the last of them an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def block(lines: Sequence[str], length: int, where: str = "") -> str:
    """Join whole lines up to ``length`` characters; what does not fit is counted, with ``where`` it can be read."""
    shown: list[str] = []
    used = 0
    for index, one in enumerate(lines):
        rest = f"… {len(lines) - index} more{f', {where}' if where else ''}"
        if used + len(one) + 1 + len(rest) > length:
            return "\n".join([*shown, rest])
        shown.append(one)
        used += len(one) + 1
    return "\n".join(shown)


def heading(news: Notification) -> str:
    """Return icon and headline with its time, as ``🟢 Fixed in 3m12s``."""
    timed = dict(news.facts).get("time", "")
    return f"{news.headline.icon} {timed if timed.startswith(str(news.headline)) else news.headline}"


def about(news: Notification) -> str:
    """Return who and what it concerns, and since when: ``critical · payments · alertmanager · since 14:02 UTC``."""
    age = dict(news.facts).get("age", "")
    parts = [line(one, 60) for one in (str(news.severity), news.team, news.source, age) if one]
    return " · ".join([*parts, *([line(news.about, ABOUT)] if news.about else [])])


_NOTES: Mapping[str, str] = {
    "past": "📊",
    "chart": "📈",
    "forecast": "⏳",
    "anomaly": "📅",
    "changed": "🔧",
    "related": "🔗",
    "diagnose": "🔎",
}
"""What stands before a line, so that one is found at a glance; the words say the same."""


def notes(news: Notification) -> list[str]:
    """Return what was found out beside the alert, a line each; none of them is cut."""
    return [f"{_NOTES.get(kind, kind)} {text}" for kind, text in news.notes]
