"""The nearest known word to a mistyped one."""

import difflib
from collections.abc import Iterable

_NEARER = 0.75
"""How alike words must be that begin with different letters: ``timeout`` does not mean ``at_most``."""


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """Return the one of ``choices`` that ``word`` was most likely meant to be, or None when nothing is near."""
    known = list(choices)
    plain = {_plain(choice): choice for choice in reversed(known)}
    wanted = _plain(word[:100])
    if wanted in plain:
        return plain[wanted]
    near = difflib.get_close_matches(wanted, plain, n=3, cutoff=0.6)
    return next((plain[one] for one in near if one[:1] == wanted[:1] or _alike(one, wanted) >= _NEARER), None)


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _plain(word: str) -> str:
    """Spelling without case, dashes and underscores: ``perTarget`` and ``per-target`` mean ``per_target``."""
    return word.casefold().replace("-", "").replace("_", "").replace(" ", "")
