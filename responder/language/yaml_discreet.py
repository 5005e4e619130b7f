"""The traps of YAML in the words for a file that holds secrets: nothing of what stands in the file is repeated."""

import re
from dataclasses import replace

from responder.language.yaml_traps import Trap

_IN_QUOTES = "put the whole value in quotes"
_AS_IT_IS = frozenset(
    {
        "yaml-documents",
        "yaml-merge-key",
        "yaml-empty-key",
        "yaml-too-deep",
        "yaml-too-many",
        "yaml-complex-key",
        "yaml-tab",
        "yaml-escape",
        "yaml-unclosed-quote",
        "yaml-indentation",
        "yaml-dash",
        "yaml-flow-brace",
        "yaml-unclosed-bracket",
        "yaml-syntax",
        "yaml-encoding",
        "yaml-control-character",
    }
)
"""Rules whose sentences hold words of our own and of libyaml, never one of the file's."""
_SAID = {
    "yaml-unquoted-template": ("a value with {{ in it must be quoted, or YAML reads it as a mapping", _IN_QUOTES),
    "yaml-comment-value": ("what begins with # became a comment, so this value is empty", _IN_QUOTES),
    "yaml-at-sign": ("a value cannot start with @", _IN_QUOTES),
    "yaml-backtick": ("a value cannot start with a backtick", _IN_QUOTES),
    "yaml-percent": ("a value cannot start with %", _IN_QUOTES),
    "yaml-colon-in-value": ("a value with a colon and a space in it must be quoted", _IN_QUOTES),
    "yaml-missing-space": ("a colon or a dash needs a space behind it", "write key: value, or - item"),
    "yaml-text-after-quote": ("there is text behind a closing quote", "put the whole value in one pair of quotes"),
    "yaml-block-indicator": ("a value that starts with > or | begins a block of text on the next lines", _IN_QUOTES),
    "yaml-alias": ("aliases (*name) are refused: every value is written out", f"{_IN_QUOTES}, if it is one"),
    "yaml-anchor": ("anchors (&name) are refused: every value is written out", f"{_IN_QUOTES}, if it is one"),
    "yaml-tag": ("tags (!name) are refused: every value is written out", f"{_IN_QUOTES}, if it is one"),
    "yaml-number": ("this number cannot be kept as one", _IN_QUOTES),
    "yaml-duplicate-key": ("this key is given twice", "remove one"),
    "yaml-flow-comma": ("a comma ends the value before it", f"{_IN_QUOTES}, or write it in block style"),
    "yaml-flow": ("this has no value, or the short form { … } or [ … ] is broken here", _IN_QUOTES),
}
_FIRST = re.compile(r"; first on line \d+\Z")


def discreet(trap: Trap) -> Trap:
    """Return ``trap`` in words that repeat nothing of the file; a rule that is not known here says the least."""
    if trap.rule in _AS_IT_IS:
        return trap
    message, hint = _SAID.get(trap.rule, ("this cannot stand here as it is", _IN_QUOTES))
    first = _FIRST.search(trap.message)
    return replace(trap, message=f"{message}{first[0] if first else ''}", hint=hint)
