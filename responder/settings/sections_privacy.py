"""Reading what nobody outside is to see."""

import re2

from responder.settings.model import PrivacySettings
from responder.settings.reader import Node, shown

_LABEL = re2.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]*")


def read_privacy(node: Node) -> PrivacySettings:
    """Read the labels whose values are hidden, further patterns, and whether personal data is masked."""
    fields = node.keys(("labels", "patterns", "personal"))
    usual = PrivacySettings()
    return PrivacySettings(
        labels=frozenset(_label(one) for one in fields.get("labels").items()) - {""},
        patterns=tuple(text for one in fields.get("patterns").items() if (text := _pattern(one))),
        personal=fields.read("personal", Node.flag, usual.personal),
    )


def _label(node: Node) -> str:
    name = node.text()
    if name and not _LABEL.fullmatch(name):
        node.complain(f"{shown(name)} is no name of a label", "name", "write it as it stands in the alerts")
        return ""
    return name


def _what(error: Exception) -> str:
    """Return what RE2 stumbled over, without the part of the pattern that it repeats behind a colon."""
    said = error.args[0] if error.args else ""
    return (said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)).partition(":")[0]


def _pattern(node: Node) -> str:
    text = node.text()
    try:
        found = re2.compile(text)
    except (re2.error, UnicodeEncodeError) as error:
        hint = "see https://github.com/google/re2/wiki/Syntax"
        node.complain(f"this is no regular expression of RE2: {_what(error)}", "pattern", hint)
        return ""
    if text and found.search("") is not None:
        hint = "write at least one character that must be there"
        node.complain("this pattern fits where nothing is", "pattern", hint)
        return ""
    return text
