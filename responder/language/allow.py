"""Allow lists of HTTP services: which calls a connection lets through, and thereby a playbook may name."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import unquote

_WILDCARD = re.compile(r"[*?\[]")
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")


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


def may_allow(patterns: Iterable[str], method: str, beginning: str) -> bool:
    """Say whether one of ``patterns`` may fit a call of which only the path's ``beginning`` is known yet."""
    known, _, query = beginning.partition("?")
    if query or "?" in beginning:
        return allows(patterns, method, known)
    # Behind a percent sign the rest may decide which character it is.
    return any(_may_fit(pattern, method, known.partition("%")[0]) for pattern in patterns)


def _may_fit(pattern: str, method: str, known: str) -> bool:
    verb, _, shape = pattern.partition(" ")
    shape = shape.strip()
    literal = _WILDCARD.split(shape, maxsplit=1)[0]
    if verb.upper() not in (method, "*"):
        return False
    return known.startswith(literal) if literal != shape and len(literal) < len(known) else literal.startswith(known)


def known_part(line: str) -> tuple[str, str] | None:
    """Return the method and the beginning of the path of ``PUT /admin/{{ … }}``; None when these are not known."""
    before, placeholder, _ = line.partition("{{")
    method, space, path = before.partition(" ")
    return (method, path.strip()) if placeholder and space and (not path.strip() or path.strip()[0] == "/") else None


def filled_in(line: str) -> str:
    """Return ``PUT /admin/{{ … }}`` with an ellipsis for what is to come, for looking at all the rest of it.

    One whose method is to come, or that is no such line, is returned as it is.
    """
    known = known_part(line)
    if known is None:
        return line
    method, path = known
    rest = _PLACEHOLDER.sub("…", line.partition(" ")[2].strip())
    return line if "}}" in rest else f"{method} {'' if path else '/'}{rest}"


def _fits(pattern: str, method: str, plain: str) -> bool:
    verb, _, shape = pattern.partition(" ")
    return verb.upper() in (method, "*") and fnmatchcase(plain, shape.strip())
