"""Identifiers: short, sortable by time, unique without asking anybody."""

import os
import random
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_EPOCH_MS = 1_577_836_800_000
"""2020-01-01T00:00:00Z: forty bits of milliseconds from here last until 2054."""
_RANDOM = random.Random()  # noqa: S311 - seeded by the system; an identifier is no secret
os.register_at_fork(after_in_child=_RANDOM.seed)


def _base32(number: int) -> str:
    """Return forty bits as eight characters."""
    return _PAIRS[number >> 30] + _PAIRS[number >> 20 & 1023] + _PAIRS[number >> 10 & 1023] + _PAIRS[number & 1023]


def new_id() -> str:
    """Return 17 characters, ``tttttttt-rrrrrrrr``: milliseconds, then forty random bits, in Crockford's base 32."""
    milliseconds = max(0, time.time_ns() // 1_000_000 - _EPOCH_MS)
    return f"{_base32(milliseconds)}-{_base32(_RANDOM.getrandbits(40))}"
