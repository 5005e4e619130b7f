"""ControllerRevisions: the history of templates that StatefulSets and DaemonSets keep."""

import hashlib
import json

from tests.bed.kube.store import draft
from tests.bed.kube.world import World, owned, owned_by
from tests.bed.web import JsonObject

HASH = "controller-revision-hash"


def latest(world: World, by: JsonObject) -> tuple[JsonObject, bool]:
    """Return the revision of the template that `by` has now, and whether it had to be made or brought up."""
    template = by["spec"]["template"]
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
    name = f"{by['metadata']['name']}-{digest}"
    found = owned(world, "ControllerRevision", by)
    newest = max((one["revision"] for one in found), default=0)
    for one in found:
        if one["metadata"]["name"] == name:
            if one["revision"] == newest:
                return one, False
            return world.change(one, lambda body: body.update(revision=newest + 1)), True
    labels = template.get("metadata", {}).get("labels", {})
    body: JsonObject = {
        "metadata": {"name": name, "labels": {**labels, HASH: digest}, "ownerReferences": owned_by(by)},
        "data": {"spec": {"template": {**draft(template), "$patch": "replace"}}},
        "revision": newest + 1,
    }
    return world.create("ControllerRevision", by["metadata"]["namespace"], body), True


def template_of(revision: JsonObject) -> JsonObject:
    """Return the template that a revision remembers."""
    template = draft(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template
