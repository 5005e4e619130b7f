"""The subresource ``eviction``: a delete that asks the PodDisruptionBudgets first."""

from tests.bed.kube import errors
from tests.bed.kube.deletion import Deletion, delete
from tests.bed.kube.kinds import Place, named
from tests.bed.kube.objects import Objects, Written
from tests.bed.kube.selectors import selects
from tests.bed.kube.store import draft
from tests.bed.web import JsonObject

EVICTED: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_BLOCKED = "Cannot evict pod as it would violate the pod's disruption budget."


def evict(objects: Objects, namespace: str, name: str, how: Deletion) -> Written:
    """Evict a pod; raise 429 when a budget does not allow it now.

    Only a budget that nobody has counted yet comes with a Retry-After.
    """
    place = Place(named("Pod"), namespace, name)
    pod = objects.existing(place)
    budgets = [
        budget
        for budget in objects.store.every("PodDisruptionBudget", namespace)
        if selects(budget["spec"].get("selector"), pod["metadata"].get("labels", {}))
    ]
    if len(budgets) > 1:
        message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise errors.ApiError(500, "InternalError", message)
    counted = pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    if budgets and counted and _matters(pod, budgets[0]):
        _spend(objects, budgets[0], name, dry_run=how.dry_run)
    return delete(objects, place, how)[0]


def _matters(pod: JsonObject, budget: JsonObject) -> bool:
    """Whether the budget protects this pod: one that is not ready may go unless too few others are."""
    if ready(pod):
        return True
    status = budget.get("status", {})
    always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
    return not always and status.get("currentHealthy", 0) < status.get("desiredHealthy", 0)


def _spend(objects: Objects, budget: JsonObject, pod: str, *, dry_run: bool) -> None:
    name, status = budget["metadata"]["name"], budget.get("status", {})
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 1):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", retry_after=10)
    if status.get("disruptionsAllowed", 0) <= 0:
        needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _refused(f"The disruption budget {name} needs {needs} healthy pods and has {has} currently")
    if dry_run:
        return
    spent = draft(budget)
    spent["status"]["disruptionsAllowed"] -= 1
    spent["status"].setdefault("disruptedPods", {})[pod] = objects.store.clock.stamp()
    objects.store.put(named("PodDisruptionBudget"), spent)


def _refused(why: str, retry_after: int = 0) -> errors.ApiError:
    details: JsonObject = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return errors.ApiError(429, "TooManyRequests", _BLOCKED, details)


def ready(pod: JsonObject) -> bool:
    """Return whether a pod is Ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
