"""The disruption controller: how many pods each PodDisruptionBudget lets go now."""

from collections.abc import Iterator

from tests.bed.kube.conditions import Finding, set_condition
from tests.bed.kube.deployments import share
from tests.bed.kube.pods import ready
from tests.bed.kube.selectors import selects
from tests.bed.kube.store import draft
from tests.bed.kube.world import World, going, owner
from tests.bed.web import JsonObject


class Budgets:
    """Counts, and reports."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for budget in world.store.every("PodDisruptionBudget"):
            status = self._counted(world, budget)
            if status != budget["status"]:
                world.set_status(budget, status)
                yield

    def _counted(self, world: World, budget: JsonObject) -> JsonObject:
        spec, meta = budget["spec"], budget["metadata"]
        pods = [
            pod
            for pod in world.store.every("Pod", meta["namespace"])
            if selects(spec.get("selector"), pod["metadata"].get("labels", {}))
            and pod["status"].get("phase") not in {"Succeeded", "Failed"}
        ]
        expected = len(pods)
        by_share = isinstance(spec.get("minAvailable"), str)
        if "maxUnavailable" in spec or by_share:
            expected = _expected(world, pods)
        if "maxUnavailable" in spec:
            desired = max(0, expected - share(spec["maxUnavailable"], expected, up=True))
        else:
            desired = share(spec.get("minAvailable", 1), expected, up=True)
        healthy = sum(ready(pod) and not going(pod) for pod in pods)
        allowed = max(0, healthy - desired) if expected else 0
        status: JsonObject = {
            "observedGeneration": meta["generation"],
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
        }
        if budget["status"].get("conditions"):
            status["conditions"] = draft(budget["status"])["conditions"]
        value, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
        set_condition(status, world.store.clock, Finding("DisruptionAllowed", value, reason, ""))
        for one in status["conditions"]:
            one["observedGeneration"] = meta["generation"]
        return status


def _expected(world: World, pods: list[JsonObject]) -> int:
    """Return how many pods the controllers of `pods` want."""
    wanted: dict[str, int] = {}
    for pod in pods:
        by = owner(pod)
        if by is None:
            wanted[pod["metadata"]["uid"]] = 1
            continue
        found = world.store.get(by["kind"], pod["metadata"]["namespace"], by["name"])
        above = owner(found) if found else None
        if above is not None:
            found = world.store.get(above["kind"], pod["metadata"]["namespace"], above["name"])
        if found is not None:
            wanted[found["metadata"]["uid"]] = found["spec"].get("replicas", 1)
    return sum(wanted.values())
