"""Uploads as Slack takes them: a place is asked for, filled, and what is in it shared, each once.

docs.slack.dev: files.getUploadURLExternal and files.completeUploadExternal, which "can only be called once". What it
answers the second time is written nowhere: ``file_not_found`` is our guess.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tests.bed.slack_limits import Refused

M = TypeVar("M")


@dataclass(slots=True)
class File(Generic[M]):
    """An upload; ``words`` are for who cannot see it, ``message`` is where it was shared."""

    id: str
    filename: str
    length: int
    words: str = ""
    data: bytes = b""
    title: str = ""
    message: M | None = None
    done: bool = False

    def fill(self, data: bytes) -> bool:
        """Take the bytes; False when they are not as many as was said, or it is too late."""
        if self.done or len(data) != self.length:
            return False
        self.data = data
        return True


def reserved(arguments: Mapping[str, Any], number: str) -> File[Any]:
    """Return a place for a file."""
    length, filename = str(arguments.get("length", "")), str(arguments.get("filename", ""))
    if not filename or not length.isdecimal() or int(length) == 0:
        raise Refused("invalid_arguments")
    return File(number, filename, int(length), str(arguments.get("alt_txt", "")))


def to_share(arguments: Mapping[str, Any], files: Mapping[str, File[M]]) -> Sequence[tuple[File[M], str]]:
    """Return the files that are to be shared, with their titles."""
    given = arguments.get("files")
    given = json.loads(given) if isinstance(given, str) else given
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise Refused("invalid_arguments")
    found = [(files.get(str(one.get("id"))), one.get("title")) for one in given]
    shared = [
        (one, str(title or one.filename)) for one, title in found if one is not None and one.data and not one.done
    ]
    if len(shared) != len(given):
        raise Refused("file_not_found")
    return shared
