"""JSON pointers (RFC 6901)."""

import re

from pydantic import JsonValue

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")  # section 4


def check_pointer(pointer: str) -> str:
    """Return ``pointer`` when it is one; raises ValueError."""
    if pointer and not pointer.startswith("/"):
        msg = f"{pointer!r} is not a JSON pointer; it starts with /"
        raise ValueError(msg)
    return pointer


def resolve(document: JsonValue, pointer: str) -> JsonValue:
    """Follow a JSON pointer; None when it leads nowhere."""
    current = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(current, dict):
            current = current.get(name)
        elif isinstance(current, list) and _INDEX.fullmatch(name) and int(name) < len(current):
            current = current[int(name)]
        else:
            return None
    return current
