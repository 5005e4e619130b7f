"""Small pieces of text: instants, changes and cuts, the same in every message."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime

from pydantic import JsonValue

NOTHING = "–"
VALUE_LENGTH = 60
CHANGES_SHOWN = 6
"""How many keys of an image are named in one line."""


def short(text: str, length: int) -> str:
    """Return ``text`` on one line, cut to ``length`` characters with an ellipsis."""
    text = " ".join(text[: 4 * length].split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def clock(at: datetime) -> str:
    """Return the time of day; a message stands on one day, its links lead to the dates."""
    return f"{at:%H:%M} UTC"


def change(before: JsonValue, after: JsonValue) -> str:
    """Return what differs between two images: ``workers: 4 → 6``; empty when nothing is known to differ."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name, NOTHING) != new.get(name, NOTHING)]
    parts = [
        f"{f'{name}: ' if name else ''}{old.get(name, NOTHING)} → {new.get(name, NOTHING)}"
        for name in names[:CHANGES_SHOWN]
    ]
    if len(names) > CHANGES_SHOWN:
        parts.append(f"{len(names) - CHANGES_SHOWN} more")
    return ", ".join(parts)


def _leaves(image: JsonValue, path: str = "") -> Iterator[tuple[str, str]]:
    """Go through the values of an image, each with its path."""
    if isinstance(image, Mapping) and image:
        for key, value in image.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif image is not None or path:
        yield path, short(image if isinstance(image, str) else json.dumps(image, ensure_ascii=False), VALUE_LENGTH)
