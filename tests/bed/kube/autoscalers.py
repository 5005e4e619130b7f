"""The autoscaler: sets the size of its target from what the pods use, within its bounds."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bed.kube.conditions import Finding, set_condition
from tests.bed.kube.errors import ApiError
from tests.bed.kube.kinds import Place, named
from tests.bed.kube.objects import Options
from tests.bed.kube.pods import ready
from tests.bed.kube.quota import amount
from tests.bed.kube.scaling import put_scale, scale_of
from tests.bed.kube.selectors import labels_match
from tests.bed.kube.store import draft
from tests.bed.kube.world import MANAGER, World
from tests.bed.web import JsonObject

_PERIOD = 15.0  # seconds between two looks: --horizontal-pod-autoscaler-sync-period
_TOLERANCE = 0.1  # a ratio this close to 1 is left alone: --horizontal-pod-autoscaler-tolerance
_DOWN = 300  # seconds whose highest wish holds back scaling down, unless its behaviour says otherwise


@dataclass(slots=True)
class Autoscalers:
    """Looks every 15 seconds, and at once when a target is outside of the bounds."""

    looked: dict[str, float] = field(default_factory=dict)
    wishes: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for scaler in world.store.every("HorizontalPodAutoscaler"):
            if self._look(world, scaler):
                yield

    def _look(self, world: World, scaler: JsonObject) -> bool:
        spec, uid, status = scaler["spec"], scaler["metadata"]["uid"], draft(scaler["status"])
        target = self._target(world, scaler)
        if target is None:
            reference = spec["scaleTargetRef"]
            missing = (
                f'the HPA controller was unable to get the target\'s current scale: "{reference["name"]}" not found'
            )
            set_condition(status, world.store.clock, Finding("AbleToScale", "False", "FailedGetScale", missing))
            return self._write(world, scaler, status)
        place, obj = target
        have = obj["spec"].get("replicas", 0)
        due = self.looked.get(uid, -math.inf) + _PERIOD
        outside = have and not spec["minReplicas"] <= have <= spec["maxReplicas"]
        if world.now < due and not outside:
            world.at(due)
            return False
        self.looked[uid] = world.now
        world.at(world.now + _PERIOD)
        status |= {"currentReplicas": obj["status"].get("replicas", 0)}
        if have == 0:
            said = "scaling is disabled since the replica count of the target is zero"
            set_condition(status, world.store.clock, Finding("ScalingActive", "False", "ScalingDisabled", said))
            return self._write(world, scaler, status | {"desiredReplicas": 0})
        wanted = self._wanted(world, scaler, obj, have, status)
        limited = max(spec["minReplicas"], min(spec["maxReplicas"], wanted))
        self._limited(world, status, wanted, limited)
        status["desiredReplicas"] = limited
        if limited != have:
            scale = scale_of(obj)
            scale["spec"]["replicas"] = limited
            put_scale(world.objects, place, scale, Options(MANAGER))
            status["lastScaleTime"] = world.store.clock.stamp()
            said = f"New size: {limited}; reason: All metrics below target"
            world.event(scaler, "SuccessfulRescale", said, "horizontal-pod-autoscaler")
        return self._write(world, scaler, status) or limited != have

    def _target(self, world: World, scaler: JsonObject) -> tuple[Place, JsonObject] | None:
        reference = scaler["spec"]["scaleTargetRef"]
        place = Place(named(reference["kind"]), scaler["metadata"]["namespace"], reference["name"])
        try:
            return place, world.objects.existing(place)
        except ApiError:
            return None

    def _wanted(self, world: World, scaler: JsonObject, obj: JsonObject, have: int, status: JsonObject) -> int:
        """Return the size that the metrics ask for, not lower than asked for lately; without metrics the present."""
        clock, selector = world.store.clock, scale_of(obj)["status"].get("selector", "")
        pods = [
            pod
            for pod in world.store.every("Pod", scaler["metadata"]["namespace"])
            if labels_match(selector, pod["metadata"].get("labels", {})) and ready(pod)
        ]
        sizes, current = [], []
        for metric in scaler["spec"].get("metrics", ()):
            found = _ratio(world, metric, pods)
            if found is not None:
                ratio, seen = found
                current.append(seen)
                sizes.append(have if abs(ratio - 1) <= _TOLERANCE else math.ceil(ratio * len(pods)))
        status["currentMetrics"] = current or None
        able = Finding("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size")
        set_condition(status, clock, able)
        if not sizes:
            said = "the HPA was unable to compute the replica count: no metrics known for the pods"
            set_condition(status, clock, Finding("ScalingActive", "False", "FailedGetResourceMetric", said))
            return have
        said = "the HPA was able to successfully calculate a replica count from cpu resource utilization"
        set_condition(status, clock, Finding("ScalingActive", "True", "ValidMetricFound", said))
        return self._held_back(world, scaler, have, max(sizes))

    def _held_back(self, world: World, scaler: JsonObject, have: int, wanted: int) -> int:
        down = scaler["spec"].get("behavior", {}).get("scaleDown", {})
        window = down.get("stabilizationWindowSeconds", _DOWN)
        uid = scaler["metadata"]["uid"]
        wishes = self.wishes.setdefault(uid, [(world.now, have)])
        wishes.append((world.now, wanted))
        wishes[:] = [one for one in wishes if one[0] > world.now - window]
        return max(wanted, min(have, max((one[1] for one in wishes), default=wanted)))

    def _limited(self, world: World, status: JsonObject, wanted: int, limited: int) -> None:
        finding = Finding("ScalingLimited", "False", "DesiredWithinRange", "the desired count is within the range")
        if wanted > limited:
            said = "the desired replica count is more than the maximum replica count"
            finding = Finding("ScalingLimited", "True", "TooManyReplicas", said)
        elif wanted < limited:
            said = "the desired replica count is less than the minimum replica count"
            finding = Finding("ScalingLimited", "True", "TooFewReplicas", said)
        set_condition(status, world.store.clock, finding)

    def _write(self, world: World, scaler: JsonObject, status: JsonObject) -> bool:
        if status == scaler["status"]:
            return False
        world.set_status(scaler, status)
        return True


def _ratio(world: World, metric: JsonObject, pods: list[JsonObject]) -> tuple[float, JsonObject] | None:
    """Return how much of its target a resource metric uses, and what the status shows of it; None when unknown."""
    resource = metric.get("resource")
    if resource is None or not pods:
        return None
    name, target = resource["name"], resource["target"]
    used = [amount(getattr(world.metrics.of(pod), name)) * len(pod["spec"]["containers"]) for pod in pods]
    if target["type"] == "AverageValue":
        average = sum(used) / len(pods)
        shown = {"averageValue": f"{round(average * 1000)}m"}
        return average / amount(target["averageValue"]), {
            "type": "Resource",
            "resource": {"name": name, "current": shown},
        }
    requests = [
        amount(container.get("resources", {}).get("requests", {}).get(name, 0))
        for pod in pods
        for container in pod["spec"]["containers"]
    ]
    if not all(requests):
        return None  # a container without a request has no utilization
    share = round(100 * sum(used) / sum(requests))
    shown_share = {"averageUtilization": share, "averageValue": f"{round(1000 * sum(used) / len(pods))}m"}
    return share / target["averageUtilization"], {
        "type": "Resource",
        "resource": {"name": name, "current": shown_share},
    }
