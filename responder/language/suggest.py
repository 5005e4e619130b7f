"""The nearest known word to a mistyped one."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """Return the one of ``choices`` that ``word`` was most likely meant to be, or None when nothing is near."""
    known = list(choices)
    plain = {_plain(choice): choice for choice in reversed(known)}
    wanted = _plain(word[:100])
    if wanted in plain:
        return plain[wanted]
    near = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.6)
    return plain[near[0]] if near else None


def _plain(word: str) -> str:
    """Spelling without case, dashes and underscores: ``perTarget`` and ``per-target`` mean ``per_target``."""
    return word.casefold().replace("-", "").replace("_", "").replace(" ", "")
