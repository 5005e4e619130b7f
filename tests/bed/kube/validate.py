"""What the API server refuses in an object that it understands: 422, one cause per finding."""

import json
import re
from collections.abc import Callable, Iterator

from tests.bed.kube.errors import cause, invalid
from tests.bed.kube.kinds import Json, Kind
from tests.bed.web import JsonObject

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}
_NAMED_BY_LABEL = {"Namespace", "Service"}
_PATHS = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}  # their names may hold colons

_POD_MUTABLE = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"}
_STATEFUL_MUTABLE = {
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
}


def check(kind: Kind, obj: JsonObject, before: JsonObject | None = None) -> None:
    """Raise 422 when `obj`, or the change from `before` to it, is not allowed."""
    causes = [*_metadata(kind, obj)]
    if not kind.custom:
        causes += [*_spec(kind, obj)]
        if before is not None:
            causes += [*_changes(kind, obj, before)]
    if causes:
        raise invalid(kind.group, kind.kind, obj["metadata"].get("name", ""), causes)


def _wrong(field: str, value: Json, why: str) -> JsonObject:
    shown = json.dumps(value, separators=(",", ":"))
    return cause("FieldValueInvalid", field, f"Invalid value: {shown}: {why}")


def _missing(field: str, why: str = "") -> JsonObject:
    return cause("FieldValueRequired", field, f"Required value: {why}" if why else "Required value")


def _metadata(kind: Kind, obj: JsonObject) -> Iterator[JsonObject]:
    meta = obj["metadata"]
    name = meta.get("name", "")
    if not name:
        yield _missing("metadata.name", "name or generateName is required")
    elif kind.kind in _PATHS:
        if "/" in name or "%" in name:
            yield _wrong("metadata.name", name, "may not contain '/'")
    elif kind.kind in _NAMED_BY_LABEL:
        if not _LABEL.fullmatch(name) or len(name) > 63:
            yield _wrong("metadata.name", name, _LABEL_RULE)
    elif not _SUBDOMAIN.fullmatch(name):
        yield _wrong("metadata.name", name, _SUBDOMAIN_RULE)
    for key, value in meta.get("labels", {}).items():
        if not _VALUE.fullmatch(value) or len(value) > 63:
            yield _wrong("metadata.labels", value, f"a valid label must be an empty string or match {_VALUE.pattern}")
        if not key:
            yield _wrong("metadata.labels", key, "name part must be non-empty")


def _spec(kind: Kind, obj: JsonObject) -> Iterator[JsonObject]:
    spec = obj.get("spec", {})
    if kind.kind in _WORKLOADS:
        yield from _workload(kind, spec)
    if kind.kind == "Pod":
        yield from _containers(spec, "spec")
    rules = _RULES.get(kind.kind)
    if rules is not None:
        yield from rules(spec)
    if kind.kind == "Event" and not obj.get("involvedObject"):
        yield _missing("involvedObject")


def _cron_job(spec: JsonObject) -> Iterator[JsonObject]:
    yield from _containers(spec["jobTemplate"]["spec"]["template"]["spec"], "spec.jobTemplate.spec.template.spec")
    schedule = spec.get("schedule", "")
    if len(schedule.split()) != 5 and not schedule.startswith("@"):
        yield _wrong("spec.schedule", schedule, "expected exactly 5 fields")


def _node(spec: JsonObject) -> Iterator[JsonObject]:
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    for index, taint in enumerate(spec.get("taints", ())):
        if not taint.get("key"):
            yield _missing(f"spec.taints[{index}].key")
        if taint.get("effect") not in effects:
            shown = ", ".join(f'"{one}"' for one in effects)
            said = f'Unsupported value: "{taint.get("effect", "")}": supported values: {shown}'
            yield cause("FieldValueNotSupported", f"spec.taints[{index}].effect", said)


def _service(spec: JsonObject) -> Iterator[JsonObject]:
    for index, port in enumerate(spec.get("ports", ())):
        if not 0 < port.get("port", 0) < 65536:
            yield _wrong(f"spec.ports[{index}].port", port.get("port", 0), "must be between 1 and 65535, inclusive")


def _budget(spec: JsonObject) -> Iterator[JsonObject]:
    yield from _shares(spec, "spec")
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield _wrong("spec", spec, "minAvailable and maxUnavailable cannot be both set")


def _autoscaler(spec: JsonObject) -> Iterator[JsonObject]:
    low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if low < 1:
        yield _wrong("spec.minReplicas", low, "must be greater than or equal to 1")
    if high < 1:
        yield _wrong("spec.maxReplicas", high, "must be greater than 0")
    elif high < low:
        yield _wrong("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")


def _workload(kind: Kind, spec: JsonObject) -> Iterator[JsonObject]:
    for field in ("replicas", "minReadySeconds", "parallelism", "completions", "backoffLimit", "revisionHistoryLimit"):
        if field in spec and spec[field] < 0:
            yield _wrong(f"spec.{field}", spec[field], "must be greater than or equal to 0")
    template = spec["template"]
    for strategy in ("strategy", "updateStrategy"):
        yield from _shares(spec.get(strategy, {}).get("rollingUpdate", {}), f"spec.{strategy}.rollingUpdate")
    if kind.kind != "Job":
        yield from _selected(spec, template)
    yield from _containers(template.get("spec", {}), "spec.template.spec")
    policy = template.get("spec", {}).get("restartPolicy")
    allowed = ["OnFailure", "Never"] if kind.kind == "Job" else ["Always"]
    if policy not in allowed:
        said = ", ".join(f'"{one}"' for one in allowed)
        shown = f'Unsupported value: "{policy}": supported values: {said}'
        yield cause("FieldValueNotSupported", "spec.template.spec.restartPolicy", shown)


def _shares(values: JsonObject, path: str) -> Iterator[JsonObject]:
    for name in ("maxSurge", "maxUnavailable", "minAvailable"):
        value = values.get(name, 0)
        if isinstance(value, str) and not re.fullmatch(r"[0-9]+%", value):
            why = "a valid percent string must be a numeric string followed by an ending '%'"
            yield _wrong(f"{path}.{name}", value, why)
        elif isinstance(value, int) and value < 0:
            yield _wrong(f"{path}.{name}", value, "must be greater than or equal to 0")


def _selected(spec: JsonObject, template: JsonObject) -> Iterator[JsonObject]:
    selector = spec.get("selector")
    if not selector:
        yield _missing("spec.selector")
        return
    labels = template.get("metadata", {}).get("labels", {})
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        yield _wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _containers(spec: JsonObject, path: str) -> Iterator[JsonObject]:
    if not spec.get("containers"):
        yield _missing(f"{path}.containers")
    seen: set[str] = set()
    for index, container in enumerate(spec.get("containers", ())):
        here = f"{path}.containers[{index}]"
        name = container.get("name", "")
        if not name:
            yield _missing(f"{here}.name")
        elif name in seen:
            yield cause("FieldValueDuplicate", f"{here}.name", f'Duplicate value: "{name}"')
        seen.add(name)
        if not container.get("image"):
            yield _missing(f"{here}.image")


_RULES: dict[str, Callable[[JsonObject], Iterator[JsonObject]]] = {
    "CronJob": _cron_job,
    "HorizontalPodAutoscaler": _autoscaler,
    "Node": _node,
    "PodDisruptionBudget": _budget,
    "Service": _service,
}


def _changes(kind: Kind, obj: JsonObject, before: JsonObject) -> Iterator[JsonObject]:
    now, then = obj.get("spec", {}), before.get("spec", {})
    if kind.kind in {"Deployment", "ReplicaSet", "DaemonSet", "Job"} and now.get("selector") != then.get("selector"):
        yield _wrong("spec.selector", now.get("selector"), "field is immutable")
    if kind.kind == "Job" and now.get("template") != then.get("template") and not then.get("suspend"):
        yield _wrong("spec.template", {}, "field is immutable")
    if kind.kind == "StatefulSet":
        changed = {key for key in {*now, *then} if now.get(key) != then.get(key)} - _STATEFUL_MUTABLE
        if changed:
            allowed = "'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
            allowed += "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds'"
            why = f"updates to statefulset spec for fields other than {allowed} are forbidden"
            yield cause("FieldValueForbidden", "spec", f"Forbidden: {why}")
    if kind.kind == "Pod" and _frozen(now) != _frozen(then):
        why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        why += "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        why += "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        yield cause("FieldValueForbidden", "spec", f"Forbidden: {why}")
    if kind.kind in {"RoleBinding", "ClusterRoleBinding"} and obj.get("roleRef") != before.get("roleRef"):
        yield _wrong("roleRef", obj.get("roleRef"), "cannot change roleRef")
    if kind.kind in {"Secret", "ConfigMap"} and before.get("immutable") and obj.get("data") != before.get("data"):
        yield cause("FieldValueForbidden", "data", "Forbidden: field is immutable when `immutable` is set")


def _frozen(spec: JsonObject) -> JsonObject:
    """Return what of a pod's spec must stay as it is."""
    kept = {key: value for key, value in spec.items() if key not in {*_POD_MUTABLE, "nodeName"}}
    for group in ("containers", "initContainers"):
        kept[group] = [{key: one[key] for key in one if key != "image"} for one in spec.get(group, ())]
    return kept
