"""``kubernetes.rollout_pause`` and ``kubernetes.rollout_resume``: whether a Deployment's rollout goes on."""

from typing import ClassVar

from pydantic import JsonValue

from responder.actions.kubernetes import FieldsAction, permissions
from responder.ports.action import Permission


class RolloutPause(FieldsAction):
    """Hold a Deployment's rollout where it is: pods of both revisions stay."""

    name: ClassVar[str] = "kubernetes.rollout_pause"
    kinds: ClassVar[tuple[str, ...]] = ("deployment",)
    field: ClassVar[tuple[str, ...]] = ("spec", "paused")
    owns: ClassVar[dict[str, tuple[str, ...]]] = {"paused": ("spec", "paused")}
    absent: ClassVar[dict[str, JsonValue]] = {"paused": False}
    permissions: ClassVar[tuple[Permission, ...]] = permissions("deployment")
    example: ClassVar[str] = """\
kubernetes.rollout_pause: {}
"""

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it is held."""
        return {"paused": True}


class RolloutResume(RolloutPause):
    """Let a Deployment's rollout go on."""

    name: ClassVar[str] = "kubernetes.rollout_resume"
    example: ClassVar[str] = """\
kubernetes.rollout_resume: {}
"""

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it goes on."""
        return {"paused": False}
