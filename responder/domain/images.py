"""Images of what an action owns, in words."""

import json
import shlex
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


def event(before: JsonValue, after: JsonValue, *, done: bool) -> str:
    """Return in words what happens between images that hold no state; empty where figures say it.

    A command shows as ``ran `restart-web eu```, what takes it back as ``ran the undo of`` it, a restart as such.
    ``done`` says that it has happened.
    """
    ran = "ran" if done else "run"
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        if "to_run" in before and "ran" in after:
            idle = ", which found nothing to do" if after.get("nothing_to_do") else ""
            return f"{ran} {_command(after['ran'])}{idle}"
        if "ran" in before and "to_run" in after:
            return f"{ran} the undo of {_command(before['ran'])}"
        if after.keys() == {"replaced"} and "replaced" not in before:
            return "restarted" if done else "restart"
    return ""


def _command(argv: JsonValue) -> str:
    words = [str(one) for one in argv] if isinstance(argv, list) else [str(argv)]
    return f"`{short(shlex.join(words), 2 * VALUE_LENGTH)}`"


def written(image: JsonValue) -> str:
    """Return an image as people read it: ``workers: 9``; at most the first few values."""
    found = [f"{path}: {value}" if path else value for path, value in leaves(image)]
    more = [f"{len(found) - VALUES_SHOWN} more"] if len(found) > VALUES_SHOWN else []
    return ", ".join([*found[:VALUES_SHOWN], *more])
