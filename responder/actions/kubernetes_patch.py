"""``kubernetes.patch``: fields of an object that no other action knows, by their paths, and back."""

from typing import ClassVar

from pydantic import Field, JsonValue, field_validator

from responder.actions.kubernetes import KubernetesAction, Site, permissions, put
from responder.domain.errors import Permanent
from responder.domain.reconcilers import at
from responder.ports.action import Permission
from responder.ports.tools import Object

_KINDS = ("cronjob", "daemonset", "deployment", "hpa", "job", "node", "pvc", "statefulset")
_REFUSED = {
    ("spec", "replicas"): "kubernetes.scale, which asks for an autoscaler",
    ("spec", "template"): "kubernetes.set_resources or kubernetes.rollout_undo: a template may hold secrets",
}


class Patch(KubernetesAction):
    """Set fields of an object by their paths; it owns these fields, and undo puts back only them.

    A path leads through mappings, as `/spec/minReadySeconds`; lists, status and metadata are refused.
    """

    name: ClassVar[str] = "kubernetes.patch"
    kinds: ClassVar[tuple[str, ...]] = _KINDS
    permissions: ClassVar[tuple[Permission, ...]] = permissions(*_KINDS)
    example: ClassVar[str] = """\
kubernetes.patch:
  set:
    /spec/minReadySeconds: 30
"""

    set_: dict[str, JsonValue] = Field(alias="set", min_length=1, description="values by path; null takes a field away")

    @field_validator("set_")
    @classmethod
    def _paths(cls, given: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for pointer, value in given.items():
            path = parts(pointer)
            if path[:1] != ("spec",) or len(path) < 2 or "" in path:  # noqa: PLR2004 - spec and a field of it
                raise ValueError(f"{pointer!r} is not a path into the spec, such as /spec/minReadySeconds")
            if isinstance(value, dict | list):
                raise ValueError(f"{pointer}: give single values, each with its path")  # noqa: TRY004 - pydantic's
            better = next((why for start, why in _REFUSED.items() if path[: len(start)] == start), "")
            if better:
                raise ValueError(f"{pointer}: use {better}")
        return given

    def contested(self) -> tuple[tuple[str, ...], ...]:
        """Return the fields' paths."""
        return tuple(map(parts, self.set_))

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return the fields by their paths."""
        image: Object = {}
        for pointer in self.set_:
            image[pointer] = at(obj, *parts(pointer))
            if isinstance(image[pointer], dict | list):
                raise Permanent(f"{site.place}: {pointer} is not a single value")
        return image

    def change(self, before: JsonValue) -> JsonValue:
        """Return them as they will be."""
        return dict(self.set_)

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch of these fields."""
        patch: Object = {}
        for pointer in self.set_:
            put(patch, parts(pointer), at(image, pointer))
        return patch


def parts(pointer: str) -> tuple[str, ...]:
    """Split a JSON pointer (RFC 6901)."""
    return tuple(name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:])
