"""Label selectors, field selectors and pages of lists."""

import base64
import json
import re

from tests.bed.kube import errors
from tests.bed.kube.kinds import Json, Kind
from tests.bed.web import JsonObject

_SET = re.compile(r"\s*(\S+)\s+(in|notin)\s*\(([^)]*)\)\s*")
_EQUAL = re.compile(r"\s*([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)\s*")
_LABEL = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

_FIELDS = {
    "Pod": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "Node": ("spec.unschedulable",),
    "Namespace": ("status.phase",),
    "Secret": ("type",),
    "ReplicaSet": ("status.replicas",),
    "Job": ("status.successful",),
    "Event": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
}
"""Field labels beside metadata.name and metadata.namespace, from the conversion functions of each kind."""


def labels_match(selector: str, labels: JsonObject) -> bool:
    """Return whether `labels` satisfy a selector as written in a query."""
    return all(_requirement(part, labels) for part in re.split(r",(?![^(]*\))", selector) if part.strip())


def _requirement(text: str, labels: JsonObject) -> bool:
    if match := _SET.fullmatch(text):
        values = {value.strip() for value in match[3].split(",")}
        return (labels.get(match[1]) in values) == (match[2] == "in")
    if match := _EQUAL.fullmatch(text):
        return (labels.get(match[1]) == match[3]) == (match[2] != "!=")
    name = text.strip()
    absent = name.startswith("!")
    if not _LABEL.fullmatch(name.removeprefix("!").strip()):
        raise errors.bad_request(f'unable to parse requirement: found "{text.strip()}", expected: an identifier')
    return (name.removeprefix("!").strip() in labels) != absent


def selects(selector: JsonObject | None, labels: JsonObject) -> bool:
    """Return whether a LabelSelector object selects `labels`; None selects nothing, an empty one everything."""
    if selector is None:
        return False
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(_expression(one, labels) for one in selector.get("matchExpressions", ()))


def _expression(expression: JsonObject, labels: JsonObject) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values", ())
    if operator in {"Exists", "DoesNotExist"}:
        return bool((key in labels) == (operator == "Exists"))
    return bool((labels.get(key) in values) == (operator == "In"))


def selector_text(selector: JsonObject | None) -> str:
    """Return a LabelSelector object as a query writes it."""
    parts = [f"{key}={value}" for key, value in sorted((selector or {}).get("matchLabels", {}).items())]
    for one in (selector or {}).get("matchExpressions", ()):
        if one["operator"] in {"Exists", "DoesNotExist"}:
            parts.append(f"{'!' if one['operator'] == 'DoesNotExist' else ''}{one['key']}")
        else:
            parts.append(f"{one['key']} {one['operator'].lower()} ({','.join(sorted(one['values']))})")
    return ",".join(parts)


def fields_match(kind: Kind, selector: str, obj: JsonObject) -> bool:
    """Return whether an object satisfies a field selector; a field that the kind does not offer is a 400."""
    allowed = {"metadata.name", "metadata.namespace", *_FIELDS.get(kind.kind, ())}
    result = True
    for part in (part for part in selector.split(",") if part.strip()):
        match = _EQUAL.fullmatch(part)
        if match is None:
            raise errors.bad_request(f"invalid selector: '{selector}'; can't understand '{part}'")
        if match[1] not in allowed:
            raise errors.bad_request(f"field label not supported: {match[1]}")
        result = result and (_text(_look(obj, match[1])) == match[3]) == (match[2] != "!=")
    return result


def check_fields(kind: Kind, selector: str) -> None:
    """Raise 400 for a field selector that the kind does not offer, also when there is no object to try it on."""
    fields_match(kind, selector, {})


def _look(obj: JsonObject, path: str) -> Json:
    value: Json = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(value: Json) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def page_token(version: int, after: str) -> str:
    """Return the ``continue`` of a page that ended with the object `after` (its place below the collection)."""
    token = {"v": "meta.k8s.io/v1", "rv": version, "start": f"{after}\0"}
    return base64.urlsafe_b64encode(json.dumps(token, separators=(",", ":")).encode()).decode().rstrip("=")


def read_token(token: str) -> tuple[int, str]:
    """Return the version and the last place of a page; raise 400 for anything else."""
    try:
        read = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(read["rv"]), str(read["start"]).removesuffix("\0")
    except (ValueError, KeyError, TypeError) as error:
        raise errors.bad_request(f"invalid continue token: continue key is not valid: {error}") from None
