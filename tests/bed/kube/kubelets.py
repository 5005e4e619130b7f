"""The kubelets: they start, watch, restart and stop the containers of the pods on their nodes."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bed.kube.conditions import condition
from tests.bed.kube.deletion import Deletion, delete
from tests.bed.kube.images import Behaviour
from tests.bed.kube.kinds import place_of
from tests.bed.kube.store import draft, instant, stamp
from tests.bed.kube.world import World, going
from tests.bed.web import JsonObject

_FIRST_BACKOFF = 10.0  # seconds before the second restart; doubles with each, as the kubelet's does
_LONGEST_BACKOFF = 300.0


@dataclass(slots=True)
class _Container:
    """What a kubelet knows of a container. `since` is when its state began."""

    image: str
    state: str = "new"  # new | pulling | running | waiting | over
    since: float = 0.0
    started: float = 0.0
    restarts: int = 0
    code: int = 0
    reason: str = ""
    ended: tuple[float, float, int, str] | None = None  # started, finished, code, reason of the last run that ended


@dataclass(slots=True)
class Kubelets:
    """All of them; one that is dead does nothing and says nothing."""

    known: dict[tuple[str, str], _Container] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(5))

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for pod in world.store.every("Pod"):
            node = pod["spec"].get("nodeName")
            if not node or node in world.dead:
                continue
            if going(pod):
                if self._stop(world, pod):
                    yield
                continue
            if pod["status"].get("phase") in {"Succeeded", "Failed"}:
                continue
            containers = {one["name"]: self._turn(world, pod, one) for one in pod["spec"]["containers"]}
            status = self._status(world, pod, containers)
            if status != pod["status"]:
                world.set_status(pod, status, "kubelet")
                yield

    def behaviour(self, world: World, pod: JsonObject, image: str) -> Behaviour:
        """Return how an image behaves: as told; unknown ones are healthy, those of jobs complete at once."""
        lasting = pod["spec"].get("restartPolicy", "Always") == "Always"
        return world.images.get(image) or (Behaviour.healthy() if lasting else Behaviour.completes())

    def _stop(self, world: World, pod: JsonObject) -> bool:
        meta = pod["metadata"]
        grace = meta.get("deletionGracePeriodSeconds", 0)
        asked = instant(meta["deletionTimestamp"]) - grace
        images = [self.behaviour(world, pod, one["image"]) for one in pod["spec"]["containers"]]
        end = asked + min(grace, max((one.stops_after for one in images), default=0.0))
        if world.now < end:
            world.at(end)
            return False
        if meta.get("finalizers"):
            return False
        delete(world.objects, place_of(pod), Deletion(grace=0))
        for key in [key for key in self.known if key[0] == meta["uid"]]:
            del self.known[key]
        return True

    def _turn(self, world: World, pod: JsonObject, container: JsonObject) -> _Container:
        """Let a container become what it is by now."""
        key = (pod["metadata"]["uid"], container["name"])
        one = self.known.setdefault(key, _Container(container["image"]))
        if one.image != container["image"]:  # somebody changed the pod itself
            one.image, one.state = container["image"], "new"
            one.restarts += 1
        for _ in range(3):  # pull, run, exit: what takes no time happens in one turn
            before = one.state
            self._step(world, pod, container["name"], one)
            if one.state == before:
                break
        return one

    def _step(self, world: World, pod: JsonObject, name: str, one: _Container) -> None:
        behaviour = self.behaviour(world, pod, one.image)
        if one.state in {"new", "pulling"}:
            self._start(world, pod, name, one, behaviour)
        elif one.state == "running":
            self._run(world, pod, name, one, behaviour)
        elif one.state == "waiting":
            due = one.since + min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** (one.restarts - 1))
            if world.now >= due:
                one.restarts += 1
                one.state = "new"
            else:
                world.at(due)

    def _start(self, world: World, pod: JsonObject, name: str, one: _Container, behaviour: Behaviour) -> None:
        if not behaviour.pulls:
            if one.state == "new":
                said = f'Failed to pull image "{one.image}": not found'
                world.event(pod, "Failed", said, "kubelet", warning=True)
                one.state, one.reason = "pulling", "ErrImagePull"
            elif one.reason == "ErrImagePull":
                world.event(pod, "BackOff", f'Back-off pulling image "{one.image}"', "kubelet", warning=True)
                one.reason = "ImagePullBackOff"
            return
        one.state, one.reason, one.since, one.started = "running", "", world.now, world.now
        text = behaviour.log.format(pod=pod["metadata"]["name"], container=name, restarts=one.restarts)
        world.logs.write(pod, name, text, one.restarts)

    def _run(self, world: World, pod: JsonObject, name: str, one: _Container, behaviour: Behaviour) -> None:
        if behaviour.ready:
            world.at(one.started + behaviour.ready_after)
        if behaviour.exit_after is None:
            return
        end = one.started + behaviour.exit_after
        if world.now < end:
            world.at(end)
            return
        if behaviour.last_words:
            world.logs.write(pod, name, behaviour.last_words, one.restarts)
        reason = behaviour.reason or ("Completed" if behaviour.exit_code == 0 else "Error")
        one.ended = (one.started, world.now, behaviour.exit_code, reason)
        one.code, one.reason, one.since = behaviour.exit_code, reason, world.now
        policy = pod["spec"].get("restartPolicy", "Always")
        if policy == "Never" or (policy == "OnFailure" and behaviour.exit_code == 0):
            one.state = "over"
        elif one.restarts == 0:  # the first restart does not wait
            one.restarts, one.state = 1, "new"
        else:
            one.state = "waiting"
            said = f"Back-off restarting failed container {name} in pod {pod['metadata']['name']}"
            world.event(pod, "BackOff", said, "kubelet", warning=True)

    def _status(self, world: World, pod: JsonObject, containers: dict[str, _Container]) -> JsonObject:
        before, uid = pod["status"], pod["metadata"]["uid"]
        if uid not in self.addresses:
            number = next(self._numbers)
            self.addresses[uid] = f"10.244.{number // 250}.{number % 250}"
        address = self.addresses[uid]
        statuses = [self._container(world, pod, name, one) for name, one in containers.items()]
        status: JsonObject = {"phase": _phase(containers)}
        conditions = self._conditions(world, before, statuses, status["phase"])
        status |= {"conditions": conditions, "hostIP": "127.0.0.1", "hostIPs": [{"ip": "127.0.0.1"}]}
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
        status["startTime"] = before.get("startTime", world.store.clock.stamp())
        status["containerStatuses"] = statuses
        return {**status, "qosClass": before.get("qosClass", "BestEffort")}

    def _container(self, world: World, pod: JsonObject, name: str, one: _Container) -> JsonObject:
        uid, restarts = pod["metadata"]["uid"], one.restarts
        behaviour = self.behaviour(world, pod, one.image)
        ready = one.state == "running" and behaviour.ready and world.now >= one.started + behaviour.ready_after
        this = f"fake://{uid}/{name}" + (f"/{restarts}" if restarts else "")
        last: JsonObject = {}
        if one.ended is not None and one.state != "over":
            last = {"terminated": _terminated(one.ended, this)}
        if one.state == "running":
            state: JsonObject = {"running": {"startedAt": stamp(one.started)}}
        elif one.state == "over" and one.ended is not None:
            state = {"terminated": _terminated(one.ended, this)}
        elif one.state == "waiting":
            wait = int(min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** (restarts - 1)))
            said = f"back-off {wait}s restarting failed container={name} pod={pod['metadata']['name']}"
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": said}}
        elif one.reason in {"ErrImagePull", "ImagePullBackOff"}:
            backs_off = one.reason == "ImagePullBackOff"
            said = f'Back-off pulling image "{one.image}"' if backs_off else f'failed to pull "{one.image}": not found'
            state = {"waiting": {"reason": one.reason, "message": said}}
        else:
            state = {"waiting": {"reason": "ContainerCreating"}}
        pulled = one.state in {"running", "over", "waiting"}
        found: JsonObject = {"name": name, "state": state, "lastState": last, "ready": ready}
        found |= {"restartCount": restarts, "image": one.image, "imageID": "fake" if pulled else ""}
        if pulled:
            found["containerID"] = this
        return {**found, "started": one.state == "running"}

    def _conditions(self, world: World, before: JsonObject, statuses: list[JsonObject], phase: str) -> list[JsonObject]:
        unready = [one["name"] for one in statuses if not one["ready"]]
        over = phase in {"Succeeded", "Failed"}
        reason = "PodCompleted" if over else "ContainersNotReady"
        message = "" if over else f"containers with unready status: [{' '.join(unready)}]"
        why = {"reason": reason, **({"message": message} if message else {})} if unready else {}
        wanted: list[JsonObject] = [
            {"type": "PodReadyToStartContainers", "status": "True"},
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": "False" if unready else "True", **why},
            {"type": "ContainersReady", "status": "False" if unready else "True", **why},
        ]
        conditions = []
        for one in wanted:
            was = condition(before, one["type"])
            same = was is not None and was["status"] == one["status"]
            since = was["lastTransitionTime"] if was is not None and same else world.store.clock.stamp()
            head = {"type": one["type"], "status": one["status"], "lastProbeTime": None, "lastTransitionTime": since}
            conditions.append(head | one)
        scheduled = condition(before, "PodScheduled")
        return [*conditions, *([draft(scheduled)] if scheduled else [])]


def _phase(containers: dict[str, _Container]) -> str:
    if all(one.state == "over" for one in containers.values()):
        return "Failed" if any(one.code for one in containers.values()) else "Succeeded"
    begun = all(one.state in {"running", "over", "waiting"} or one.restarts for one in containers.values())
    return "Running" if begun else "Pending"


def _terminated(ended: tuple[float, float, int, str], container: str) -> JsonObject:
    started, finished, code, reason = ended
    times = {"startedAt": stamp(started), "finishedAt": stamp(finished)}
    return {"exitCode": code, "reason": reason, **times, "containerID": container}
