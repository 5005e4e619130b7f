"""Allow lists of HTTP services: which calls a connection lets through, and thereby a playbook may name."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import unquote


def plain_path(path: str) -> str:
    """Return what allow lists are compared with: the path without its query and its percent signs."""
    return unquote(path.partition("?")[0])


def allows(patterns: Iterable[str], method: str, path: str) -> bool:
    """Say whether one of ``patterns`` (``PUT /admin/*``: method or ``*``, path with shell wildcards) fits the call."""
    plain = plain_path(path)
    return any(_fits(pattern, method, plain) for pattern in patterns)


def _fits(pattern: str, method: str, plain: str) -> bool:
    verb, _, shape = pattern.partition(" ")
    return verb.upper() in (method, "*") and fnmatchcase(plain, shape.strip())
