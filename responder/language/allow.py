"""Allow lists of HTTP services: which calls a connection lets through, and thereby a playbook may name."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import unquote


def plain_path(path: str) -> str:
    """Return what allow lists are compared with: the path without its query and its percent signs."""
    return unquote(path.partition("?")[0])


def is_own_path(path: str) -> bool:
    """Say whether a service can be asked for ``path``: it stays below the service's own address for everybody."""
    return path.startswith("/") and path.isprintable() and "#" not in path and not _leads_elsewhere(plain_path(path))


def _leads_elsewhere(plain: str) -> bool:
    """Whether a path without its percent signs could mean another one to some server on the way."""
    while (once_more := unquote(plain)) != plain:  # encoded twice, and perhaps decoded twice
        plain = once_more
    segments = [segment.partition(";")[0] for segment in plain.split("/")]
    return plain.startswith("//") or "\\" in plain or not plain.isprintable() or not {".", ".."}.isdisjoint(segments)


def allows(patterns: Iterable[str], method: str, path: str) -> bool:
    """Say whether one of ``patterns`` (``PUT /admin/*``: method or ``*``, path with shell wildcards) fits the call."""
    plain = plain_path(path)
    return any(_fits(pattern, method, plain) for pattern in patterns)


def _fits(pattern: str, method: str, plain: str) -> bool:
    verb, _, shape = pattern.partition(" ")
    return verb.upper() in (method, "*") and fnmatchcase(plain, shape.strip())
