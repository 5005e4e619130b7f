"""``kubernetes.rollout_restart``: every pod of a workload anew, one after another, as its strategy has it."""

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import JsonValue

from responder.actions.kubernetes import KubernetesAction, Site, patching, put
from responder.domain.errors import Permanent
from responder.domain.reconcilers import at
from responder.domain.records import Record
from responder.ports.action import Permission
from responder.ports.tools import Object, Tools

RESTARTED = ("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
"""The annotation by which kubectl restarts as well: changing the template makes the controller replace the pods."""
NOW = "the time of the restart"


class RolloutRestart(KubernetesAction):
    """Restart the pods of a Deployment, StatefulSet or DaemonSet, as `kubectl rollout restart` does.

    What has been restarted cannot be unrestarted: the step needs `undo: none`. A paused rollout is refused, for nothing
    would happen.
    """

    name: ClassVar[str] = "kubernetes.rollout_restart"
    effect: ClassVar[Literal["state", "event"]] = "event"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    kinds: ClassVar[tuple[str, ...]] = ("deployment", "statefulset", "daemonset")
    permissions: ClassVar[tuple[Permission, ...]] = patching("deployment", "statefulset", "daemonset")
    example: ClassVar[str] = """\
kubernetes.rollout_restart: {}
undo: none
"""

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return when it was restarted last."""
        if at(obj, "spec", "paused") is True:
            raise Permanent(f"the rollout of {site.place} is paused: a restart would begin only when it goes on")
        return {"restarted_at": at(obj, *RESTARTED)}

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it is restarted; when, is known at that time."""
        return {"restarted_at": NOW}

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return a patch of the pods' annotation."""
        patch: Object = {}
        put(patch, RESTARTED, at(image, "restarted_at"))
        return patch

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Restart once: the time is that of the record, so that the same record is the same restart."""
        at_last: Object = {"restarted_at": record.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        await super().apply(target, replace(record, planned=at_last), tools)
        return record.planned

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: a restart leaves nothing that could drift."""
        return False

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: a restart has happened."""
        raise Permanent("a restart cannot be undone")
