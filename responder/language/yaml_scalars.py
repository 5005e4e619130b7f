"""What a plain YAML scalar means: the core schema of YAML 1.2, where ``on``, ``no``, ``1:30`` and dates are text."""

import math
import re

Scalar = str | int | float | bool | None

# YAML 1.2.2, chapter 10.3.2 (core schema).
_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_STARTS_A_NUMBER = frozenset("-+.0123456789")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# JSON readers and databases agree on 64 bits; beyond that a number is really a name.
_LARGEST = 2**63
_MOST_DIGITS = 20


def plain_scalar(text: str) -> Scalar:
    """Return what an unquoted ``text`` stands for. Raises ValueError when it is a number that cannot be kept."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _STARTS_A_NUMBER:
        return text
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number")
    return _number(text)


def _number(text: str) -> Scalar:
    """The number that ``text`` stands for, or ``text`` itself."""
    if _INTEGER.fullmatch(text):
        return _bounded(text, text, 10)
    if _OCTAL.fullmatch(text):
        return _bounded(text, text[2:], 8)
    if _HEXADECIMAL.fullmatch(text):
        return _bounded(text, text[2:], 16)
    if not _FLOAT.fullmatch(text):
        return text
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:_MOST_DIGITS]} is too large for a number")
    return value


def _bounded(text: str, digits: str, base: int) -> int:
    """An integer of at most 64 bits."""
    # Counted before converting: Python refuses more than 4,300 digits with its own words.
    if len(digits.lstrip("+-0")) <= _MOST_DIGITS + 2:
        value = int(digits, base)
        if -_LARGEST <= value < _LARGEST:
            return value
    raise ValueError(f"{text[:_MOST_DIGITS]}… does not fit into 64 bits")
