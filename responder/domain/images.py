"""Images of what an action owns, in words."""

import json
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

VALUE_LENGTH = 60
VALUES_SHOWN = 6


def short(text: str, length: int) -> str:
    """Return ``text`` on one line, cut to ``length`` characters with an ellipsis."""
    text = " ".join(text[: 4 * length].split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def leaves(image: JsonValue, path: str = "") -> Iterator[tuple[str, str]]:
    """Go through the values of an image, each with its path."""
    if isinstance(image, Mapping) and image:
        for key, value in image.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif image is not None or path:
        yield path, short(image if isinstance(image, str) else json.dumps(image, ensure_ascii=False), VALUE_LENGTH)


def written(image: JsonValue) -> str:
    """Return an image as people read it: ``workers: 9``; at most the first few values."""
    found = [f"{path}: {value}" if path else value for path, value in leaves(image)]
    more = [f"{len(found) - VALUES_SHOWN} more"] if len(found) > VALUES_SHOWN else []
    return ", ".join([*found[:VALUES_SHOWN], *more])
