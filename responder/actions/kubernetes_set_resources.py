"""``kubernetes.set_resources``: what a container of a workload asks for and may use, and back."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from responder.actions.kubernetes import KubernetesAction, Site, permissions
from responder.domain.errors import Permanent
from responder.domain.quantities import amount
from responder.domain.reconcilers import at
from responder.ports.action import Permission
from responder.ports.tools import Object, PatchKind

SIDES = ("requests", "limits")


class Amounts(BaseModel):
    """What a container asks for, or may use at most; what is not given stays as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str | None = Field(default=None, description="cores, such as 500m or 2")
    memory: str | None = Field(default=None, description="bytes, such as 512Mi")

    @field_validator("cpu", "memory")
    @classmethod
    def _quantity(cls, text: str | None) -> str | None:
        if text is not None and not amount(text):
            raise ValueError(f"{text!r} is not a quantity above zero, such as 500m, 2 or 512Mi")
        return text


class SetResources(KubernetesAction):
    """Set requests and limits of one container of a Deployment, StatefulSet or DaemonSet; its pods are replaced."""

    name: ClassVar[str] = "kubernetes.set_resources"
    kinds: ClassVar[tuple[str, ...]] = ("deployment", "statefulset", "daemonset")
    field: ClassVar[tuple[str, ...]] = ("spec", "template", "spec", "containers")
    how: ClassVar[PatchKind] = "strategic"
    permissions: ClassVar[tuple[Permission, ...]] = permissions("deployment", "statefulset", "daemonset")
    example: ClassVar[str] = """\
kubernetes.set_resources:
  container: app
  limits: { memory: 1Gi }
"""

    container: str = Field(min_length=1, description="the container's name")
    requests: Amounts = Field(default=Amounts(), description="what it asks for")
    limits: Amounts = Field(default=Amounts(), description="what it may use at most")

    @model_validator(mode="after")
    def _something(self) -> "SetResources":
        if not self._given():
            raise ValueError("give requests, limits or both")
        return self

    def _given(self) -> dict[str, dict[str, str]]:
        """Return what is set, by side and name."""
        sides = dict(zip(SIDES, (self.requests, self.limits), strict=True))
        given = {side: amounts.model_dump(exclude_none=True) for side, amounts in sides.items()}
        return {side: amounts for side, amounts in given.items() if amounts}

    @property
    def _names(self) -> tuple[str, ...]:
        """The resources that are set; both sides of each are owned: the API fills a request in from its limit."""
        return tuple(sorted({name for amounts in self._given().values() for name in amounts}))

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return both amounts of what is to be set."""
        containers = at(obj, "spec", "template", "spec", "containers")
        named = [one for one in containers if at(one, "name") == self.container] if isinstance(containers, list) else []
        if not named:
            raise Permanent(f"{site.place} has no container {self.container!r}")
        return {side: {name: at(named[0], "resources", side, name) for name in self._names} for side in SIDES}

    def same(self, one: JsonValue, other: JsonValue) -> bool:
        """Compare amounts, not how they are written: the API may write 1000m as 1."""
        return all(
            amount(at(one, side, name)) == amount(at(other, side, name)) for side in SIDES for name in self._names
        )

    def change(self, before: JsonValue) -> JsonValue:
        """Return the amounts as they will be; raises ValueError when a request would be above its limit."""
        given = self._given()
        planned: dict[str, dict[str, JsonValue]] = {
            side: {name: given.get(side, {}).get(name) or at(before, side, name) for name in self._names}
            for side in SIDES
        }
        for name in self._names:
            planned["requests"][name] = planned["requests"][name] or planned["limits"][name]
            asked, most = amount(planned["requests"][name]), amount(planned["limits"][name])
            if asked is not None and most is not None and asked > most:
                raise ValueError(f"the request of {name} would be above its limit")
        return before if self.same(dict(planned), before) else dict(planned)

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch of this container's amounts."""
        one: Object = {"name": self.container, "resources": image}
        return {"spec": {"template": {"spec": {"containers": [one]}}}}
