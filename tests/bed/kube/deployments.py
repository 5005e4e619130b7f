"""The deployment controller: ReplicaSets per template, rolled out and reported as the real one does."""

import hashlib
import json
import math
from collections.abc import Iterator

from tests.bed.kube.conditions import Finding, condition, set_condition
from tests.bed.kube.deletion import Deletion, delete
from tests.bed.kube.kinds import place_of
from tests.bed.kube.store import draft, instant
from tests.bed.kube.world import World, going, owned, owned_by
from tests.bed.web import JsonObject

REVISION = "deployment.kubernetes.io/revision"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAX = "deployment.kubernetes.io/max-replicas"
HASH = "pod-template-hash"
_COMPLETE = "NewReplicaSetAvailable"
_NOT_COPIED = {REVISION, _DESIRED, _MAX, "kubectl.kubernetes.io/last-applied-configuration"}


class Deployments:
    """One look at a deployment makes at most one change to a ReplicaSet or to the deployment's status."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for deployment in world.store.every("Deployment"):
            while self._sync(world, world.store.get("Deployment", *_key(deployment))):
                yield

    def _sync(self, world: World, deployment: JsonObject | None) -> bool:
        if deployment is None:
            return False
        sets = owned(world, "ReplicaSet", deployment)
        new = next((one for one in sets if _template(one) == deployment["spec"]["template"]), None)
        old = [one for one in sets if one is not new]
        if going(deployment):
            return _report(world, deployment, new, sets)
        if new is not None and self._revise(world, deployment, new, old):
            return True
        if deployment["spec"].get("paused") or self._resized(deployment, sets):
            scaled = self._scale(world, deployment, new, old)
            sets = owned(world, "ReplicaSet", deployment)
            new = next((one for one in sets if _template(one) == deployment["spec"]["template"]), None)
            return _report(world, deployment, new, sets) or scaled
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            changed = self._recreate(world, deployment, new, old)
        else:
            changed = self._roll(world, deployment, new, old)
        return changed or _report(world, deployment, new, sets) or self._clean(world, deployment, old)

    def _revise(self, world: World, deployment: JsonObject, new: JsonObject, old: list[JsonObject]) -> bool:
        """Keep the revision: of the new ReplicaSet one more than of all others, of the deployment the same."""
        wanted = str(max((_revision(one) for one in old), default=0) + 1)
        if _revision(new) < int(wanted):
            world.change(new, lambda it: it["metadata"]["annotations"].update({REVISION: wanted}))
            return True
        revision = str(_revision(new))
        if deployment["metadata"].get("annotations", {}).get(REVISION) == revision:
            return False
        body = draft(deployment)
        body["metadata"].setdefault("annotations", {})[REVISION] = revision
        if condition(body["status"], "Progressing") is None:
            self._progressing(world, body, "FoundNewReplicaSet", f'Found new replica set "{new["metadata"]["name"]}"')
        world.set_status(body, body["status"])
        return True

    def _progressing(self, world: World, deployment: JsonObject, reason: str, message: str) -> None:
        clock = world.store.clock
        finding = Finding("Progressing", "True", reason, message)
        set_condition(deployment["status"], clock, finding, updates=True, anew=True)

    def _resized(self, deployment: JsonObject, sets: list[JsonObject]) -> bool:
        """Whether the number of replicas was changed since the ReplicaSets were last sized."""
        wanted = str(deployment["spec"]["replicas"])
        active = [one for one in sets if one["spec"]["replicas"]]
        return any(one["metadata"].get("annotations", {}).get(_DESIRED, wanted) != wanted for one in active)

    def _scale(self, world: World, deployment: JsonObject, new: JsonObject | None, old: list[JsonObject]) -> bool:
        """Bring the ReplicaSets to the new size without going on with a rollout."""
        sets = [*old, *([new] if new else [])]
        active = [one for one in sets if one["spec"]["replicas"]]
        wanted = deployment["spec"]["replicas"]
        if len(active) <= 1:
            latest = active[0] if active else new or max(old, key=_revision, default=None)
            return latest is not None and _size(world, deployment, latest, wanted)
        if new is not None and new["spec"]["replicas"] == wanted == new["status"].get("availableReplicas", 0):
            return any(_size(world, deployment, one, 0) for one in old if one["spec"]["replicas"])
        surge, _ = _limits(deployment)
        allowed, total = wanted + surge if wanted else 0, sum(one["spec"]["replicas"] for one in active)
        left = allowed - total
        for one in sorted(active, key=lambda it: (-it["spec"]["replicas"], it["metadata"]["creationTimestamp"])):
            share = round(one["spec"]["replicas"] * allowed / total) - one["spec"]["replicas"] if total else 0
            share = min(share, left) if left > 0 else max(share, left)
            left -= share
            if _size(world, deployment, one, max(0, one["spec"]["replicas"] + share)):
                return True
        return False

    def _roll(self, world: World, deployment: JsonObject, new: JsonObject | None, old: list[JsonObject]) -> bool:
        wanted, (surge, unavailable) = deployment["spec"]["replicas"], _limits(deployment)
        total = sum(one["spec"]["replicas"] for one in old)
        if new is None:
            return self._begin(world, deployment, old, max(0, min(wanted + surge - total, wanted)))
        have = new["spec"]["replicas"]
        if have != wanted:
            room = wanted + surge - total - have
            size = wanted if have > wanted else have + max(0, min(room, wanted - have))
            if _size(world, deployment, new, size):
                return True
        return self._shrink(world, deployment, new, old, wanted - unavailable)

    def _shrink(self, world: World, deployment: JsonObject, new: JsonObject, old: list[JsonObject], least: int) -> bool:
        """Take replicas from the old ReplicaSets: unhealthy ones first, and never below `least` available ones."""
        sets = [*old, new]
        total = sum(one["spec"]["replicas"] for one in sets)
        waiting = new["spec"]["replicas"] - new["status"].get("availableReplicas", 0)
        spare = total - least - waiting
        for one in old:
            unhealthy = one["spec"]["replicas"] - one["status"].get("availableReplicas", 0)
            if min(spare, unhealthy) > 0:
                return _size(world, deployment, one, one["spec"]["replicas"] - min(spare, unhealthy))
        healthy = sum(one["status"].get("availableReplicas", 0) for one in sets) - least
        for one in sorted(old, key=lambda it: (it["metadata"]["creationTimestamp"], it["metadata"]["name"])):
            if one["spec"]["replicas"] and min(spare, healthy) > 0:
                return _size(world, deployment, one, max(0, one["spec"]["replicas"] - min(spare, healthy)))
        return False

    def _recreate(self, world: World, deployment: JsonObject, new: JsonObject | None, old: list[JsonObject]) -> bool:
        for one in old:
            if one["spec"]["replicas"]:
                return _size(world, deployment, one, 0)
        if any(owned(world, "Pod", one) for one in old):
            return False
        if new is None:
            return self._begin(world, deployment, old, deployment["spec"]["replicas"])
        return _size(world, deployment, new, deployment["spec"]["replicas"])

    def _begin(self, world: World, deployment: JsonObject, old: list[JsonObject], replicas: int) -> bool:
        """Create the ReplicaSet of a new template."""
        template = draft(deployment["spec"]["template"])
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = digest
        selector = draft(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {})[HASH] = digest
        meta = deployment["metadata"]
        copied = {key: one for key, one in meta.get("annotations", {}).items() if key not in _NOT_COPIED}
        name = f"{meta['name']}-{digest}"
        body: JsonObject = {
            "metadata": {
                "name": name,
                "labels": template["metadata"]["labels"],
                "annotations": {
                    **copied,
                    REVISION: str(max((_revision(one) for one in old), default=0) + 1),
                    **_sizes(deployment),
                },
                "ownerReferences": owned_by(deployment),
            },
            "spec": {"replicas": replicas, "selector": selector, "template": template},
        }
        if "minReadySeconds" in deployment["spec"]:
            body["spec"]["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
        world.create("ReplicaSet", meta["namespace"], body)
        _told(world, deployment, name, 0, replicas)
        body = draft(deployment)
        body["metadata"].setdefault("annotations", {})[REVISION] = str(max(map(_revision, old), default=0) + 1)
        self._progressing(world, body, "NewReplicaSetCreated", f'Created new replica set "{name}"')
        world.set_status(body, body["status"])
        return True

    def _clean(self, world: World, deployment: JsonObject, old: list[JsonObject]) -> bool:
        """Forget the oldest ReplicaSets beyond the limit of the history."""
        if (condition(deployment["status"], "Progressing") or {}).get("reason") != _COMPLETE:
            return False
        idle = [one for one in old if not one["spec"]["replicas"] and not one["status"].get("replicas")]
        over = len(idle) - deployment["spec"]["revisionHistoryLimit"]
        if over <= 0:
            return False
        oldest = min(idle, key=_revision)
        delete(world.objects, place_of(oldest), Deletion())
        return True


def _report(world: World, deployment: JsonObject, new: JsonObject | None, sets: list[JsonObject]) -> bool:
    """Write the status, with the conditions Progressing and Available."""
    before = deployment["status"]
    status = _counted(world, deployment, new, sets)
    _available(world, deployment, status)
    _failures(world, status, sets)
    if deployment["spec"].get("paused"):
        _set(world, status, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    elif (condition(before, "Progressing") or {}).get("reason") == "DeploymentPaused":
        _set(world, status, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
    else:
        _progress(world, deployment, new, status)
    if status == before:
        return False
    return world.set_status(deployment, status) is not deployment


def _progress(world: World, deployment: JsonObject, new: JsonObject | None, status: JsonObject) -> None:
    before, spec = deployment["status"], deployment["spec"]
    now = condition(before, "Progressing")
    finished = status["replicas"] == status.get("updatedReplicas", 0) and (now or {}).get("reason") == _COMPLETE
    name = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    if finished:
        return
    if _complete(deployment, status):
        _set(world, status, "Progressing", "True", _COMPLETE, f"{name} has successfully progressed.")
    elif _moved(before, status):
        _set(world, status, "Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.", anew=True)
    elif now is not None and now.get("reason") not in {_COMPLETE, "ProgressDeadlineExceeded"}:
        deadline = instant(now["lastUpdateTime"]) + spec["progressDeadlineSeconds"]
        if world.now >= deadline:
            _set(
                world, status, "Progressing", "False", "ProgressDeadlineExceeded", f"{name} has timed out progressing."
            )
        world.at(deadline)


def _set(world: World, status: JsonObject, *finding: str, anew: bool = False) -> None:
    set_condition(status, world.store.clock, Finding(*finding), updates=True, anew=anew)


def _complete(deployment: JsonObject, status: JsonObject) -> bool:
    wanted = deployment["spec"]["replicas"]
    counts = (status.get("updatedReplicas", 0), status["replicas"], status.get("availableReplicas", 0))
    return counts == (wanted, wanted, wanted) and status["observedGeneration"] >= deployment["metadata"]["generation"]


def _moved(before: JsonObject, now: JsonObject) -> bool:
    """Whether the rollout has got on since the last report."""

    def count(status: JsonObject, name: str) -> int:
        found: int = status.get(name, 0)
        return found

    old_before = count(before, "replicas") - count(before, "updatedReplicas")
    old_now = count(now, "replicas") - count(now, "updatedReplicas")
    rising = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old_now < old_before or any(count(now, name) > count(before, name) for name in rising)


def _counted(world: World, deployment: JsonObject, new: JsonObject | None, sets: list[JsonObject]) -> JsonObject:
    def total(name: str) -> int:
        return sum(one["status"].get(name, 0) for one in sets)

    wanted = sum(one["spec"]["replicas"] for one in sets)
    counts = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": total("replicas"),
        "updatedReplicas": new["status"].get("replicas", 0) if new else 0,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": total("availableReplicas"),
        "unavailableReplicas": max(0, wanted - total("availableReplicas")),
    }
    status: JsonObject = {key: one for key, one in counts.items() if one or key == "observedGeneration"}
    status.setdefault("replicas", 0)
    status["terminatingReplicas"] = total("terminatingReplicas")
    conditions = deployment["status"].get("conditions")
    return {**status, "conditions": draft({"_": conditions})["_"]} if conditions else status


def _available(world: World, deployment: JsonObject, status: JsonObject) -> None:
    least = deployment["spec"]["replicas"] - _limits(deployment)[1]
    if status.get("availableReplicas", 0) >= least:
        reason, message = "MinimumReplicasAvailable", "Deployment has minimum availability."
        _set(world, status, "Available", "True", reason, message)
    else:
        reason, message = "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
        _set(world, status, "Available", "False", reason, message)


def _failures(world: World, status: JsonObject, sets: list[JsonObject]) -> None:
    """Carry over what keeps a ReplicaSet from creating its pods."""
    found = next((one for one in (condition(it["status"], "ReplicaFailure") for it in sets) if one), None)
    if found is not None:
        _set(world, status, "ReplicaFailure", found["status"], found["reason"], found["message"])
    elif condition(status, "ReplicaFailure"):
        status["conditions"] = [one for one in status["conditions"] if one["type"] != "ReplicaFailure"]


def _size(world: World, deployment: JsonObject, replica_set: JsonObject, replicas: int) -> bool:
    """Set the size of a ReplicaSet and note on it which size of the deployment that was for."""
    sizes, have = _sizes(deployment), replica_set["spec"]["replicas"]
    annotations = replica_set["metadata"].get("annotations", {})
    if have == replicas and all(annotations.get(key) == one for key, one in sizes.items()):
        return False

    def edit(body: JsonObject) -> None:
        body["spec"]["replicas"] = replicas
        body["metadata"].setdefault("annotations", {}).update(sizes)

    world.change(replica_set, edit)
    if have != replicas:
        _told(world, deployment, replica_set["metadata"]["name"], have, replicas)
    return True


def _told(world: World, deployment: JsonObject, name: str, before: int, after: int) -> None:
    how = "up" if after > before else "down"
    said = f"Scaled {how} replica set {name} from {before} to {after}"
    world.event(deployment, "ScalingReplicaSet", said, "deployment-controller")


def _sizes(deployment: JsonObject) -> dict[str, str]:
    wanted = deployment["spec"]["replicas"]
    return {_DESIRED: str(wanted), _MAX: str(wanted + _limits(deployment)[0])}


def _limits(deployment: JsonObject) -> tuple[int, int]:
    """Return (maxSurge, maxUnavailable) as numbers of pods."""
    wanted, strategy = deployment["spec"]["replicas"], deployment["spec"]["strategy"]
    if strategy["type"] == "Recreate":
        return 0, wanted
    rolling = strategy.get("rollingUpdate", {})
    surge = share(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return surge, min(wanted, unavailable if surge or unavailable else 1)


def share(value: int | str, of_: int, *, up: bool) -> int:
    """Return a number or a percentage of `of_` as a number."""
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * of_ / 100
    return math.ceil(exact) if up else math.floor(exact)


def _template(replica_set: JsonObject) -> JsonObject:
    template = draft(replica_set["spec"]["template"])
    template["metadata"]["labels"].pop(HASH, None)
    return template


def _revision(obj: JsonObject) -> int:
    return int(obj["metadata"].get("annotations", {}).get(REVISION, 0))


def _key(obj: JsonObject) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
