"""``kubernetes.cordon`` and ``kubernetes.uncordon``: whether a node takes new pods."""

from typing import ClassVar

from pydantic import JsonValue

from responder.actions.kubernetes import FieldsAction
from responder.ports.action import Permission


class Cordon(FieldsAction):
    """Keep new pods off a node; those that run there stay."""

    name: ClassVar[str] = "kubernetes.cordon"
    kinds: ClassVar[tuple[str, ...]] = ("node",)
    owns: ClassVar[dict[str, tuple[str, ...]]] = {"unschedulable": ("spec", "unschedulable")}
    absent: ClassVar[dict[str, JsonValue]] = {"unschedulable": False}
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("", "nodes", ("get", "patch")),)
    example: ClassVar[str] = """\
kubernetes.cordon: {}
"""

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it takes no new pods."""
        return {"unschedulable": True}


class Uncordon(Cordon):
    """Let a node take new pods again."""

    name: ClassVar[str] = "kubernetes.uncordon"
    example: ClassVar[str] = """\
kubernetes.uncordon: {}
"""

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it takes new pods."""
        return {"unschedulable": False}
