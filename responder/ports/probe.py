"""The probe contract: a read-only look at the world."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, JsonValue

from responder.domain.errors import Permanent
from responder.ports.action import Permission
from responder.ports.tools import Tools

Value = float | str | bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What a probe saw: no values means no data. A threshold must hold for every value."""

    values: tuple[Value, ...]
    note: str = ""


class Probe(BaseModel, ABC):
    """Base of every probe; a frozen pydantic class that is its ``with:`` arguments.

    ``lists`` says that it can find the items of a step, ``permissions`` what it needs in a cluster, ``kinds`` at
    which kinds of its objects it looks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    example: ClassVar[str]
    lists: ClassVar[bool] = False
    permissions: ClassVar[tuple[Permission, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Read without changing anything; raises StepError when it cannot. ``labels`` are the alert's."""

    async def items(self, labels: Mapping[str, str], tools: Tools) -> Sequence[JsonValue]:
        """Return the list that it finds; raises StepError when there is none."""
        msg = f"{self.name} finds no list of items"
        raise Permanent(msg)

    def queries(self) -> tuple[str, ...]:
        """Return the PromQL that it evaluates: what that gives may be older than the look."""
        return ()
