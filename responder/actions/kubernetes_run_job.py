"""``kubernetes.run_job`` and ``kubernetes.retry_job``: a Job from a template that is there, made once."""

import copy
from typing import ClassVar, Literal, cast

from pydantic import Field, JsonValue

from responder.actions.kubernetes import KubernetesAction, Site, fence_of
from responder.actions.kubernetes_job_end import LOOKING, end_of
from responder.domain.errors import Moved, Permanent
from responder.domain.kubernetes import KINDS, MARKER
from responder.domain.reconcilers import at, text_at
from responder.domain.records import Direction, Record
from responder.ports.action import End, Landed, Permission, Snapshot
from responder.ports.tools import Object, Tools

JOB = KINDS["job"]
KEPT_SECONDS = 86_400
"""So long a Job that we made stays at the least when it has ended: by it a send is known to have landed."""
_NAME = 45
"""So many characters of a name are kept; a Job's may have 63, for its pods carry it in a label."""
_BY_CONTROLLER = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
"""Labels that the Job controller gives to the pods of one Job. Source: the API reference of Job."""


class RunJob(KubernetesAction):
    """Run the job of a CronJob now, beside its schedule, as `kubectl create job --from` does.

    The Job is called after its record, so that it is made once, whatever happens to the send. With `wait` the step is
    over when the Job has ended, keeps the last lines of its log, and fails when the Job did, or has not ended within
    the step's `timeout`; then it goes on. What has run cannot be undone: the step needs `undo: none`.
    """

    name: ClassVar[str] = "kubernetes.run_job"
    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "key"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    kinds: ClassVar[tuple[str, ...]] = ("cronjob",)
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("batch", "cronjobs", ("get",)),
        Permission("batch", "jobs", ("create", "get")),
        *LOOKING,
    )
    goes_on: ClassVar[bool] = True
    example: ClassVar[str] = """\
kubernetes.run_job: { wait: true }
timeout: 10m
undo: none
"""

    wait: bool = Field(default=False, description="whether the step waits for its end, for as long as its `timeout`")

    def template(self, obj: Object) -> Object:
        """Return the spec of the Job, and what its metadata is to have; raises ValueError for what is not to run."""
        return cast("Object", copy.deepcopy(at(obj, "spec", "jobTemplate") or {}))

    def owners(self, obj: Object) -> list[JsonValue]:
        """Return with what the Job goes: not as one of its controller's own, whose history would soon drop it."""
        name, uid = at(obj, "metadata", "name"), at(obj, "metadata", "uid")
        return [{"apiVersion": JOB.api_version, "kind": "CronJob", "name": name, "uid": uid}]

    async def owned(self, obj: Object, site: Site) -> JsonValue:
        """Return what the Job is made of."""
        try:
            self.template(obj)
        except ValueError as error:
            raise Permanent(f"{site.place}: {error}") from error
        return {"of": at(obj, "metadata", "uid"), "job": ""}

    def change(self, before: JsonValue) -> JsonValue:
        """Return that there is a Job; what it is called, its record will tell."""
        return {"of": at(before, "of"), "job": "named after its record"}

    async def wanted(self, image: JsonValue, obj: Object, site: Site) -> Object:
        """Return nothing: the target is not patched."""
        return {}

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the template, and let the server say whether a Job may be made of it."""
        site = self.site(target, tools)
        obj = await site.cluster.get(site.place.path)
        image = await self.owned(obj, site)
        await site.cluster.create(JOB.path(site.place.namespace), self._job(obj, "plan", ""), dry_run=True)
        return Snapshot(image, fence_of(obj))

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Make the Job once: its name is taken from then on."""
        site = self.site(target, tools)
        obj = await site.cluster.get(site.place.path)
        if fence_of(obj) != record.fence:
            raise Moved(f"{site.place} has changed since the plan was made")
        await site.cluster.create(JOB.path(site.place.namespace), self._job(obj, _suffix(record), record.key("do")))
        return record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Go by the Job of the record's name and its marker."""
        site = self.site(target, tools)
        name = _called(site.place.name, _suffix(record))
        found = await site.cluster.find(JOB.path(site.place.namespace, name))
        if found is None:
            return Landed.NO
        marked = text_at(found, "metadata", "annotations", MARKER) == record.key("do")
        return Landed.YES if marked else Landed.UNKNOWN

    def waits(self) -> bool:
        """Say whether its end is waited for."""
        return self.wait

    async def ended(self, target: str, record: Record, tools: Tools) -> End | None:
        """Go by the Job's conditions; its pods say why, as far as they are still there."""
        site = self.site(target, tools)
        name = _called(site.place.name, _suffix(record))
        found = await site.cluster.find(JOB.path(site.place.namespace, name))
        return End(f"the Job {name} is gone") if found is None else await end_of(found, site)

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Refuse: what has run has run."""
        raise Permanent("what a Job has done cannot be taken back")

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: there is nothing to drift."""
        return False

    def _job(self, obj: Object, suffix: str, key: str) -> Object:
        template = self.template(obj)
        spec = cast("Object", template.get("spec") or {})
        metadata = cast("Object", template.get("metadata") or {})
        lasts = spec.get("ttlSecondsAfterFinished")
        if isinstance(lasts, int):
            spec["ttlSecondsAfterFinished"] = max(lasts, KEPT_SECONDS)
        annotations: Object = {**cast("Object", metadata.get("annotations") or {}), MARKER: key}
        about: Object = {
            "name": _called(text_at(obj, "metadata", "name"), suffix),
            "namespace": text_at(obj, "metadata", "namespace"),
            "labels": metadata.get("labels") or {},
            "annotations": annotations,
            "ownerReferences": self.owners(obj),
        }
        return {"apiVersion": JOB.api_version, "kind": JOB.title, "metadata": about, "spec": spec}


class RetryJob(RunJob):
    """Run a Job that has failed once more, as another Job of the same template.

    Nobody else's Job is changed. What has run cannot be undone: the step needs `undo: none`.
    """

    name: ClassVar[str] = "kubernetes.retry_job"
    kinds: ClassVar[tuple[str, ...]] = ("job",)
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("batch", "jobs", ("create", "get")), *LOOKING)
    example: ClassVar[str] = """\
kubernetes.retry_job: {}
undo: none
"""

    def template(self, obj: Object) -> Object:
        """Return the spec without what the server and the controller added to it."""
        listed = at(obj, "status", "conditions")
        if not any(
            at(one, "type") == "Failed" and at(one, "status") == "True"
            for one in (listed if isinstance(listed, list) else [])
        ):
            raise ValueError("the Job has not failed")
        spec = cast("Object", copy.deepcopy(at(obj, "spec") or {}))
        for name in ("selector", "manualSelector"):
            spec.pop(name, None)
        labels = at(spec, "template", "metadata", "labels")
        for name in _BY_CONTROLLER if isinstance(labels, dict) else ():
            cast("Object", labels).pop(name, None)
        own = cast("Object", at(obj, "metadata", "labels") or {})
        kept: Object = {name: text for name, text in own.items() if name not in _BY_CONTROLLER}
        return {"metadata": {"labels": kept}, "spec": spec}

    def owners(self, obj: Object) -> list[JsonValue]:
        """Return none: it is a Job of its own."""
        return []


def _suffix(record: Record) -> str:
    """Return what names the Job of a record: the end of its id is what differs most."""
    return record.id.replace("-", "").lower()[-12:]


def _called(name: str, suffix: str) -> str:
    return f"{name[:_NAME].rstrip('-.')}-{suffix}"
