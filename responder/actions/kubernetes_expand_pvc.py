"""``kubernetes.expand_pvc``: more room for a volume; there is no way back."""

import math
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from responder.actions.kubernetes import FieldsAction, permissions
from responder.domain.errors import Permanent
from responder.domain.quantities import amount
from responder.domain.reconcilers import at, text_at
from responder.domain.records import Record
from responder.ports.action import Permission
from responder.ports.tools import Tools

GIB = 2**30


class ExpandPvc(FieldsAction):
    """Ask for a larger volume: to a size, or by a factor and never above `max`.

    No volume can be made smaller: the step needs `undo: none`. Whether its storage class allows it, the server says at
    planning.
    """

    name: ClassVar[str] = "kubernetes.expand_pvc"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    kinds: ClassVar[tuple[str, ...]] = ("pvc",)
    field: ClassVar[tuple[str, ...]] = ("spec", "resources", "requests", "storage")
    owns: ClassVar[dict[str, tuple[str, ...]]] = {"storage": ("spec", "resources", "requests", "storage")}
    permissions: ClassVar[tuple[Permission, ...]] = permissions("pvc")
    example: ClassVar[str] = """\
kubernetes.expand_pvc: { factor: 1.5, max: 200Gi }
undo: none
"""

    to: str = Field(default="", description="the size, such as 100Gi")
    factor: float | None = Field(default=None, gt=1, le=10, description="so many times as large, in whole Gi")
    max: str = Field(default="", description="never above this; needed with factor")

    @field_validator("to", "max")
    @classmethod
    def _quantity(cls, text: str) -> str:
        if text and not amount(text):
            raise ValueError(f"{text!r} is not a size above zero, such as 100Gi")
        return text

    @model_validator(mode="after")
    def _sound(self) -> "ExpandPvc":
        if bool(self.to) == (self.factor is not None):
            raise ValueError("give either to or factor")
        if self.factor is not None and not self.max:
            raise ValueError("factor needs max: a volume is never made smaller again")
        return self

    def change(self, before: JsonValue) -> JsonValue:
        """Return the size that is asked for; raises ValueError for one that is smaller."""
        now, most = amount(at(before, "storage")), amount(self.max)
        if now is None:
            raise ValueError("the claim does not say how large it is")
        wanted = self.to or f"{math.ceil(float(now) * (self.factor or 1) / GIB)}Gi"
        size = amount(wanted) or now
        if most is not None and size > most:
            wanted, size = self.max, most
        if size < now:
            raise ValueError(f"{wanted} is less than {text_at(before, 'storage')}, and no volume can be made smaller")
        return before if size == now else {"storage": wanted}

    def same(self, one: JsonValue, other: JsonValue) -> bool:
        """Go by the amounts: 1024Mi is 1Gi."""
        return amount(at(one, "storage")) == amount(at(other, "storage"))

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: there is no way back."""
        raise Permanent("a volume that has grown cannot be made smaller")
