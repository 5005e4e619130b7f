"""``kubernetes.suspend_cronjob``: no further job by this schedule, until it is undone."""

from typing import ClassVar

from pydantic import JsonValue

from responder.actions.kubernetes import FieldsAction, permissions
from responder.ports.action import Permission


class SuspendCronJob(FieldsAction):
    """Suspend a CronJob; jobs that run already go on."""

    name: ClassVar[str] = "kubernetes.suspend_cronjob"
    kinds: ClassVar[tuple[str, ...]] = ("cronjob",)
    field: ClassVar[tuple[str, ...]] = ("spec", "suspend")
    owns: ClassVar[dict[str, tuple[str, ...]]] = {"suspend": ("spec", "suspend")}
    absent: ClassVar[dict[str, JsonValue]] = {"suspend": False}
    permissions: ClassVar[tuple[Permission, ...]] = permissions("cronjob")
    example: ClassVar[str] = """\
kubernetes.suspend_cronjob: {}
"""

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it is suspended."""
        return {"suspend": True}
