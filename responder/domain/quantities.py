"""Amounts as Kubernetes writes them: ``250m``, ``1Gi``, ``2``."""

import re
from decimal import Decimal
from typing import Final

from pydantic import JsonValue

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([num]|[kMGTPE]|[KMGTPE]i)?")
_SMALL = {"": Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("0.001"), "k": Decimal(1000)}
_UNITS: Final = _SMALL | {
    unit: scale
    for power, letter in enumerate("KMGTPE", 1)
    for unit, scale in ((letter, Decimal(10) ** (3 * power)), (f"{letter}i", Decimal(2) ** (10 * power)))
    if unit != "K"
}
"""Source: k8s.io/apimachinery, resource.Quantity."""


def amount(quantity: JsonValue) -> Decimal | None:
    """Return an amount as a number, None for what is none or is not there."""
    shape = _QUANTITY.fullmatch(quantity) if isinstance(quantity, str) else None
    return None if shape is None else Decimal(shape[1]) * _UNITS[shape[2] or ""]
