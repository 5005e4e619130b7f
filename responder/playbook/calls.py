"""What a step calls: what it reads is what it changes, or the image that is written down is another resource's."""

import re
from collections.abc import Mapping

from responder.language.strict_yaml import Path
from responder.playbook.complaints import Findings
from responder.playbook.rules import Keys

READ, WRITES = "read", ("send", "undo")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def check_calls(findings: Findings, path: Path, arguments: Keys) -> None:
    """Warn where a step with a ``read`` changes or undoes something beside it: as long a path with another part.

    A longer or a shorter path is taken for another way to the same: ``/admin/pool`` and ``/admin/pool/resize``.
    """
    looked = arguments.get(READ)
    if not isinstance(looked, str):
        return
    for key in WRITES:
        called = arguments.get(key)
        if isinstance(called, str) and _beside(_segments(looked), _segments(called)):
            message = f"{key}: {_path(called)} is changed, and what is read is {_path(looked)}"
            hint = "read what is changed: its values are written down before, and looked for afterwards"
            findings.add((*path, key), message, "read-elsewhere", hint, severity="warning")


def _path(line: str) -> str:
    """Return the path of ``PUT /admin/{{ labels.client }}?force=1``, without its query."""
    return line.strip().partition(" ")[2].strip().partition("?")[0]


def _segments(line: str) -> tuple[str, ...]:
    """Return the parts of a call's path; a placeholder is one word in it, however it is spaced."""
    words: Mapping[str, str] = {found[0]: "".join(found[1].split()) for found in _PLACEHOLDER.finditer(line)}
    for placeholder, word in words.items():
        line = line.replace(placeholder, f"<{word.replace('/', ':').replace('?', ':')}>")
    return tuple(_path(line).strip("/").split("/"))


def _beside(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Say whether both are as long and differ behind their beginning, which may be the service's own."""
    if len(one) != len(other):
        return False
    return one != other if len(one) == 1 else one[0] == other[0] and one != other
