"""``kubernetes.taint``: a taint of a node, and back."""

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.actions.kubernetes import KubernetesAction, Site
from responder.domain.reconcilers import at
from responder.ports.action import Permission
from responder.ports.tools import Object


class Taint(KubernetesAction):
    """Set one taint of a node: pods that do not tolerate it are kept off, or sent away with `NoExecute`."""

    name: ClassVar[str] = "kubernetes.taint"
    kinds: ClassVar[tuple[str, ...]] = ("node",)
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("", "nodes", ("get", "patch")),)
    example: ClassVar[str] = """\
kubernetes.taint: { key: example.com/disk, value: failing, effect: NoSchedule }
"""

    key: str = Field(min_length=1, description="the taint's key")
    value: str = Field(default="", description="its value")
    kind: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        alias="effect", description="what it does to pods"
    )

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return the value of the taint with this key and effect, null when there is none."""
        found = [one for one in _taints(obj) if self._ours(one)]
        return {"taint": (at(found[0], "value") or "") if found else None}

    def _ours(self, taint: JsonValue) -> bool:
        return at(taint, "key") == self.key and at(taint, "effect") == self.kind

    def change(self, before: JsonValue) -> JsonValue:
        """Return the taint's value."""
        return {"taint": self.value}

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch of all taints, with the others as they are: the API takes the list as a whole."""
        value = at(image, "taint")
        others: list[JsonValue] = [one for one in _taints(obj) if not self._ours(one)]
        if value is None:
            return {"spec": {"taints": others or None}}
        ours: Object = {"key": self.key, "effect": self.kind, **({"value": value} if value else {})}
        place = next((index for index, one in enumerate(_taints(obj)) if self._ours(one)), len(others))
        return {"spec": {"taints": [*others[:place], ours, *others[place:]]}}


def _taints(obj: Object) -> list[JsonValue]:
    found = at(obj, "spec", "taints")
    return found if isinstance(found, list) else []
