"""Deleting: preconditions, grace periods, finalizers, and what becomes of dependents."""

from dataclasses import dataclass

from tests.bed.kube import errors
from tests.bed.kube.kinds import Json, Kind, Place
from tests.bed.kube.objects import Objects, Written
from tests.bed.kube.store import draft
from tests.bed.web import JsonObject


@dataclass(frozen=True, slots=True)
class Deletion:
    """How a delete is meant; from a DeleteOptions body and the query."""

    uid: str | None = None
    resource_version: str | None = None
    grace: int | None = None
    propagation: str = ""
    dry_run: bool = False

    @classmethod
    def of(cls, body: Json, query: dict[str, str], *, dry_run: bool) -> "Deletion":
        """Read what a request says."""
        conditions = body.get("preconditions", {}) if isinstance(body, dict) else None
        if not isinstance(conditions, dict):
            raise errors.bad_request("json: cannot unmarshal the body into Go value of type v1.DeleteOptions")
        grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        if grace is not None and not str(grace).isdigit():
            raise errors.bad_request(f"json: cannot unmarshal {grace!r} into gracePeriodSeconds of type int64")
        policy = body.get("propagationPolicy", query.get("propagationPolicy", ""))
        if policy not in {"", "Background", "Foreground", "Orphan"}:
            supported = '"Foreground", "Background", "Orphan"'
            shown = f'Unsupported value: "{policy}": supported values: {supported}'
            cause = errors.cause("FieldValueNotSupported", "propagationPolicy", shown)
            raise errors.invalid("meta.k8s.io", "DeleteOptions", "", [cause])
        return cls(
            uid=conditions.get("uid"),
            resource_version=conditions.get("resourceVersion"),
            grace=None if grace is None else int(grace),
            propagation=policy,
            dry_run=dry_run or bool(body.get("dryRun")),
        )


def delete(objects: Objects, place: Place, how: Deletion) -> tuple[Written, JsonObject]:
    """Delete an object, or begin to; returns what became of it and the answer to the client."""
    kind, _, name = place
    before = objects.existing(place)
    meta = before["metadata"]
    if how.uid is not None and how.uid != meta["uid"]:
        raise errors.precondition(kind, name, "UID", how.uid, meta["uid"])
    if how.resource_version is not None and how.resource_version != meta["resourceVersion"]:
        raise errors.precondition(kind, name, "ResourceVersion", how.resource_version, meta["resourceVersion"])
    after = _marked(objects, kind, before, how)
    if after is None:
        gone = before if how.dry_run else objects.store.remove(kind, before)
        about = {"name": name, "group": kind.group, "kind": kind.plural, "uid": meta["uid"]}
        details = {key: one for key, one in about.items() if one}
        answer = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        if kind.kind == "Pod":
            answer = gone
        return Written(draft(gone), before), answer
    if after != before and not how.dry_run:
        objects.store.put(kind, after)
    return Written(after if after != before else before, before), after


def _marked(objects: Objects, kind: Kind, before: JsonObject, how: Deletion) -> JsonObject | None:
    """Return the object on its way out; None when nothing holds it."""
    after = draft(before)
    meta, clock = after["metadata"], objects.store.clock
    if kind.kind == "Namespace":
        meta.setdefault("deletionTimestamp", clock.stamp())
        after["status"] = {**after.get("status", {}), "phase": "Terminating"}
        return _sorted(after)
    finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(how.propagation)
    if finalizer and finalizer not in meta.get("finalizers", []):
        meta["finalizers"] = [*meta.get("finalizers", []), finalizer]
    grace = _grace(before, how) if kind.kind == "Pod" else 0
    if not grace and not meta.get("finalizers"):
        return None
    if "deletionTimestamp" in meta and grace >= meta.get("deletionGracePeriodSeconds", 0):
        return after
    meta["deletionTimestamp"] = clock.stamp(grace)
    meta["deletionGracePeriodSeconds"] = grace
    if kind.generation:
        meta["generation"] = meta.get("generation", 0) + 1
    return _sorted(after)


def _grace(pod: JsonObject, how: Deletion) -> int:
    if not pod["spec"].get("nodeName") or pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
        return 0
    own: int = pod["spec"].get("terminationGracePeriodSeconds", 30)
    return own if how.grace is None else how.grace


def _sorted(obj: JsonObject) -> JsonObject:
    """Return `obj` with the keys of its metadata in the order in which the server writes them."""
    order = ("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp")
    meta = obj["metadata"]
    first = {key: meta[key] for key in (*order, "deletionTimestamp", "deletionGracePeriodSeconds") if key in meta}
    obj["metadata"] = {**first, **{key: one for key, one in meta.items() if key not in first}}
    return obj
