"""``kubernetes.hpa``: the bounds of the autoscaler of a workload, and back."""

from typing import ClassVar

from pydantic import Field, JsonValue, model_validator

from responder.actions.kubernetes import ASKING, FieldsAction, Site
from responder.domain.errors import Permanent
from responder.domain.kubernetes import KINDS
from responder.domain.reconcilers import at, scales, text_at
from responder.ports.action import Action, Permission

HPA = KINDS["hpa"]


class Hpa(FieldsAction):
    """Change the bounds of the autoscaler that scales the target: a floor for what is to come, a ceiling against it.

    The target is what is scaled, not the autoscaler: so two playbooks cannot pull at the same pods.
    """

    name: ClassVar[str] = "kubernetes.hpa"
    kinds: ClassVar[tuple[str, ...]] = ("deployment", "statefulset")
    field: ClassVar[tuple[str, ...]] = ("spec", "maxReplicas")
    owns: ClassVar[dict[str, tuple[str, ...]]] = {"min": ("spec", "minReplicas"), "max": ("spec", "maxReplicas")}
    absent: ClassVar[dict[str, JsonValue]] = {"min": 1}
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission(HPA.group, HPA.plural, ("get", "list", "patch")),
        *ASKING,
    )
    example: ClassVar[str] = """\
kubernetes.hpa: { min: 4, max: 20 }
"""

    min: int | None = Field(default=None, ge=1, description="the fewest replicas; none: as it is")
    max: int | None = Field(default=None, ge=1, description="the most replicas; none: as it is")

    @model_validator(mode="after")
    def _sound(self) -> "Hpa":
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    async def path(self, site: Site) -> str:
        """Return where the one autoscaler is that scales the target."""
        names = [text_at(one, "metadata", "name") for one in await site.of_kind(HPA) if scales(one, site.place)]
        if len(names) != 1:
            found = f"{len(names)} autoscalers scale" if names else "no autoscaler scales"
            raise Permanent(f"{found} {site.place}; exactly one must")
        return HPA.path(site.place.namespace, names[0])

    def change(self, before: JsonValue) -> JsonValue:
        """Return the planned bounds; raises ValueError when they would cross."""
        low, high = self.min or at(before, "min"), self.max or at(before, "max")
        if isinstance(low, int) and isinstance(high, int) and low > high:
            raise ValueError(f"min {low} would be above max {high}")
        return {"min": low, "max": high}

    def goes_on_from(self, other: Action) -> bool:
        """An autoscaler has one pair of bounds."""
        return isinstance(other, Hpa)
