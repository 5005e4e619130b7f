"""Small actions and probes, and builders, for the tests of playbooks."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from responder.actions.http_request import HttpRequest
from responder.domain.records import Direction, Record
from responder.playbook.arguments import inputs
from responder.ports.action import Action, Landed, Snapshot
from responder.ports.catalogue import Catalogue
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools
from responder.probes.http_get import HttpGet


class Scale(Action):
    """Set how many there are."""

    name: ClassVar[str] = "fake.scale"
    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "precondition"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    example: ClassVar[str] = "fake.scale: { by: 2, max: 10 }"

    by: int | None = Field(None, description="add this many")
    to: int | None = Field(None, description="set to this many")
    min: int = Field(0, ge=0, description="never go below this")
    max: int = Field(ge=1, description="never go above this")
    note: str = Field("", description="a text")
    path: str = Field("/", description="where")
    tags: dict[str, JsonValue] = Field({}, description="free values")

    @model_validator(mode="after")
    def _one(self) -> "Scale":
        if (self.by is None) == (self.to is None):
            message = "give either by or to"
            raise ValueError(message)
        return self

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        return Snapshot(1)

    def change(self, before: JsonValue) -> JsonValue:
        return before

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        return record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        return Landed.UNKNOWN

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        return None


class Restart(Scale):
    """Restart everything; nobody can tell afterwards, nor take it back."""

    name: ClassVar[str] = "fake.restart"
    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "none"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    example: ClassVar[str] = "fake.restart: { to: 1, max: 1 }"


class Count(Probe):
    """Count things."""

    name: ClassVar[str] = "fake.count"
    example: ClassVar[str] = "probe: fake.count"

    of: str = Field(description="what to count")
    limit: int = Field(10, description="at most")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        return Reading((1.0,))


CATALOGUE = Catalogue(
    actions={action.name: action for action in (Scale, Restart, HttpRequest)},
    probes={probe.name: probe for probe in (Count, HttpGet)},
)

MINIMAL = """\
name: scale-out
matchers:
  - alertname="HighLoad"
target: http/checkout
steps:
  - fake.scale:
      by: 2
      max: 10
"""


def with_lines(*lines: str, base: str = MINIMAL) -> str:
    """Return a playbook that works, with further lines at its end."""
    return base + "".join(f"{line}\n" for line in lines)


def inputs_of_all() -> tuple[str, ...]:
    """Return the inputs of every action and probe of the catalogue."""
    kinds = (*CATALOGUE.actions.values(), *CATALOGUE.probes.values())
    return tuple(name for kind in kinds for name in inputs(kind))
