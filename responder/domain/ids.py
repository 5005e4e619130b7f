"""Identifiers: short, sortable by time, unique without asking anybody."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_EPOCH_MS = 1_577_836_800_000
"""2020-01-01T00:00:00Z: forty bits of milliseconds from here last until 2054."""


def _base32(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def new_id() -> str:
    """Return 17 characters, ``tttttttt-rrrrrrrr``: milliseconds, then forty random bits, in Crockford's base 32."""
    milliseconds = max(0, time.time_ns() // 1_000_000 - _EPOCH_MS)
    return f"{_base32(milliseconds, 8)}-{_base32(secrets.randbits(40), 8)}"
