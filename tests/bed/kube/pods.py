"""What the controllers that own pods share: making them, counting them, choosing which has to go."""

from collections.abc import Iterable

from tests.bed.kube import deletion
from tests.bed.kube.conditions import condition
from tests.bed.kube.kinds import place_of
from tests.bed.kube.store import draft, instant
from tests.bed.kube.world import World, going, owned, owned_by
from tests.bed.web import JsonObject

_COST = "controller.kubernetes.io/pod-deletion-cost"


def pod_of(by: JsonObject, template: JsonObject, name: str = "") -> JsonObject:
    """Return a pod of `template` that belongs to `by`, with a name of its own or a generated one."""
    meta = draft(template.get("metadata", {}))
    meta |= {"name": name} if name else {"generateName": f"{by['metadata']['name']}-"}
    meta["ownerReferences"] = owned_by(by)
    return {"metadata": meta, "spec": draft(template["spec"])}


def active(world: World, by: JsonObject) -> list[JsonObject]:
    """Return the pods that count for `by`: neither on their way out nor at their end."""
    pods = owned(world, "Pod", by)
    return [pod for pod in pods if not going(pod) and pod["status"].get("phase") not in {"Succeeded", "Failed"}]


def ready(pod: JsonObject) -> bool:
    """Whether a pod is Ready."""
    return (condition(pod["status"], "Ready") or {}).get("status") == "True"


def available(world: World, pod: JsonObject, seconds: int) -> bool:
    """Whether a pod has been Ready for `seconds`; asks to be called again when it only has to wait."""
    found = condition(pod["status"], "Ready")
    if found is None or found["status"] != "True":
        return False
    due = instant(found["lastTransitionTime"]) + seconds
    if seconds and due > world.now:
        world.at(due)
        return False
    return True


def first_to_go(pods: Iterable[JsonObject]) -> list[JsonObject]:
    """Return `pods` in the order in which a ReplicaSet gives them up."""

    def rank(pod: JsonObject) -> tuple[bool, int, bool, int, int, float]:
        cost = int(pod["metadata"].get("annotations", {}).get(_COST, 0))
        phases = {"Pending": 0, "Unknown": 1}
        restarts = max((one["restartCount"] for one in pod["status"].get("containerStatuses", ())), default=0)
        return (
            bool(pod["spec"].get("nodeName")),
            phases.get(pod["status"].get("phase", "Pending"), 2),
            ready(pod),
            cost,
            -restarts,
            -float(pod["metadata"]["resourceVersion"]),
        )

    return sorted(pods, key=rank)


def drop(world: World, pod: JsonObject) -> None:
    """Delete a pod, gracefully."""
    deletion.delete(world.objects, place_of(pod), deletion.Deletion())
