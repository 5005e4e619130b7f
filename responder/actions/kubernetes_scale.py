"""``kubernetes.scale``: the number of replicas of a Deployment or StatefulSet, and back."""

from typing import ClassVar, Self

from pydantic import Field, JsonValue, model_validator

from responder.actions.kubernetes import FieldsAction, Site, permissions
from responder.domain import reconcilers
from responder.domain.kubernetes import KINDS
from responder.domain.portions import Portion
from responder.domain.reconcilers import Keeper, at
from responder.ports.action import Action, Permission
from responder.ports.tools import Object

HPA = KINDS["hpa"]


class Scale(FieldsAction):
    """Set the number of replicas of a Deployment or StatefulSet.

    It is refused where an autoscaler keeps that number (`kubernetes.hpa` changes its bounds), and nothing that is
    scaled to zero is scaled up: somebody has switched it off.
    """

    name: ClassVar[str] = "kubernetes.scale"
    kinds: ClassVar[tuple[str, ...]] = ("deployment", "statefulset")
    field: ClassVar[tuple[str, ...]] = ("spec", "replicas")
    owns: ClassVar[dict[str, tuple[str, ...]]] = {"replicas": ("spec", "replicas")}
    absent: ClassVar[dict[str, JsonValue]] = {"replicas": 1}
    permissions: ClassVar[tuple[Permission, ...]] = (
        *permissions("deployment", "statefulset"),
        Permission(HPA.group, HPA.plural, ("list",)),
    )
    gradual: ClassVar[bool] = True
    example: ClassVar[str] = """\
kubernetes.scale: { by: 2, max: 10 }
"""

    by: int | None = Field(default=None, description="add this many; negative: take away")
    to: int | None = Field(default=None, ge=0, description="set to this many")
    min: int = Field(default=1, ge=0, description="`by` never goes below this; and what is below already is left so")
    max: int | None = Field(
        default=None, ge=1, description="never go above this; and what is above already is left so; `by` up needs it"
    )

    @model_validator(mode="after")
    def _sound(self) -> "Scale":
        if (self.by is None) == (self.to is None):
            raise ValueError("give either by or to")
        if self.by == 0:
            raise ValueError("by 0 changes nothing")
        if self.by is not None and self.by > 0 and self.max is None:
            raise ValueError("say how many there may be at most: add max")
        if self.max is not None and max(self.min, self.to or 0) > self.max:
            raise ValueError(f"max {self.max} is below what is asked for")
        return self

    def change(self, before: JsonValue) -> JsonValue:
        """Return the planned number of replicas."""
        now = _replicas(before)
        if self.to is not None:
            return {"replicas": self.to}
        by = self.by or 0
        if now == 0 and by > 0:
            raise ValueError("it is scaled to zero: somebody has switched it off")
        if by > 0:
            return {"replicas": max(now, min(now + by, self.max or now))}
        return {"replicas": min(now, max(now + by, self.min))}

    def goes_on_from(self, other: Action) -> bool:
        """There is one number of replicas."""
        return isinstance(other, Scale)

    def portions(self, before: JsonValue, by: Portion) -> tuple[Self, ...]:
        """Add or take away a portion at a time, each up to where it was planned to stop and no further."""
        if not by.share and by.size != int(by.size):
            raise ValueError(f"{by.size:g} at a time: there are whole replicas only")
        now, found = _replicas(before), []
        for stop in map(int, by.stops(now, _replicas(self.change(before)))):
            if now == 0:  # only `to` leads up from there
                found.append(self.model_copy(update={"to": stop, "max": None}))
            else:
                bounds = {"max": stop, "min": 1} if stop > now else {"max": None, "min": stop}
                found.append(self.model_copy(update={"by": stop - now, "to": None, **bounds}))
            now = stop
        return tuple(found)

    async def keepers(self, site: Site, obj: Object) -> list[Keeper]:
        """Ask for an autoscaler, too."""
        found = reconcilers.autoscaler(await site.of_kind(HPA), site.place)
        return [*([found] if found else []), *await super().keepers(site, obj)]


def _replicas(image: JsonValue) -> int:
    """Return the number in an image; raises ValueError when there is none."""
    found = at(image, "replicas")
    if isinstance(found, bool) or not isinstance(found, int):
        raise ValueError(f"the number of replicas is {found!r}")  # noqa: TRY004 - what Action.change() promises to raise
    return found
