"""The subresource ``scale``: the replica count of a workload, seen and set as an autoscaling/v1 Scale."""

from tests.bed.kube import errors, patches
from tests.bed.kube.kinds import Place
from tests.bed.kube.objects import Objects, Options, Written
from tests.bed.kube.selectors import selector_text
from tests.bed.kube.store import draft
from tests.bed.web import JsonObject

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: JsonObject) -> JsonObject:
    """Return the Scale of a workload."""
    meta = {key: obj["metadata"][key] for key in _METADATA if key in obj["metadata"]}
    status: JsonObject = {"replicas": obj.get("status", {}).get("replicas", 0)}
    selector = selector_text(obj["spec"].get("selector"))
    if selector:
        status["selector"] = selector
    spec = {"replicas": obj["spec"]["replicas"]} if obj["spec"].get("replicas") else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def patch_scale(
    objects: Objects, place: Place, how: str, patch: JsonObject | list[JsonObject], options: Options
) -> Written:
    """Patch the Scale of a workload; returns the workload."""
    live = objects.existing(place)
    scale = scale_of(live)
    scale["spec"].setdefault("replicas", 0)
    if how == patches.APPLY:
        body = patches.merge(scale, patch)
    elif how in {patches.JSON, patches.MERGE, patches.STRATEGIC}:
        body = {patches.JSON: patches.json_patch, patches.MERGE: patches.merge}.get(how, patches.strategic)(
            scale, patch
        )
    else:
        raise errors.media_type()
    return put_scale(objects, place, body, options)


def put_scale(objects: Objects, place: Place, scale: JsonObject, options: Options) -> Written:
    """Replace the Scale of a workload; returns the workload."""
    live, name = objects.existing(place), place.name
    given, wanted = scale.get("metadata", {}), scale.get("spec", {})
    if not isinstance(given, dict) or not isinstance(wanted, dict):
        raise errors.bad_request("json: cannot unmarshal into Go struct field Scale.spec of type v1.ScaleSpec")
    if given.get("name", name) != name:
        message = f"the name of the object ({given.get('name')}) does not match the name on the URL ({name})"
        raise errors.bad_request(message)
    replicas = wanted.get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        message = "json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32"
        raise errors.bad_request(f'Scale in version "v1" cannot be handled as a Scale: {message}')
    if replicas < 0:
        shown = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise errors.invalid("autoscaling", "Scale", name, [errors.cause("FieldValueInvalid", "spec.replicas", shown)])
    body = draft(live)
    body["spec"]["replicas"] = replicas
    for key in ("uid", "resourceVersion"):
        if given.get(key):
            body["metadata"][key] = given[key]
    own = Options(options.manager, options.dry_run, options.validation, options.force, "scale")
    return objects.replace(place, body, own)
