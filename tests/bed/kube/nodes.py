"""Nodes: the scheduler that places pods, and the node controller that notices which ones are silent."""

from collections.abc import Iterator
from functools import partial

from tests.bed.kube.conditions import condition
from tests.bed.kube.pods import drop
from tests.bed.kube.store import draft, instant
from tests.bed.kube.world import World, going, of, owner
from tests.bed.web import JsonObject

_GRACE = 40.0  # seconds of silence after which a node is Unknown: --node-monitor-grace-period before 1.32
_CORDONED = "node.kubernetes.io/unschedulable"
_SILENT = "node.kubernetes.io/unreachable"
_UNKNOWN = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
_PRESSURES = {
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}

_INFO = {
    "architecture": "amd64",
    "containerRuntimeVersion": "fake://1.0.0",
    "kernelVersion": "6.1.0",
    "kubeProxyVersion": "",
    "kubeletVersion": "v1.36.0",
    "operatingSystem": "linux",
    "osImage": "no real one",
}


def new_node(name: str, stamp: str) -> tuple[JsonObject, JsonObject]:
    """Return a node and its status."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
    }
    room = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    times = {"lastHeartbeatTime": stamp, "lastTransitionTime": stamp}
    conditions: list[JsonObject] = [
        {"type": kind, "status": "False", **times, "reason": reason, "message": message}
        for kind, (reason, message) in _PRESSURES.items()
    ]
    conditions.append(
        {
            "type": "Ready",
            "status": "True",
            **times,
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
        }
    )
    status = {
        "capacity": room,
        "allocatable": dict(room),
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
        "nodeInfo": _INFO | {"machineID": name, "systemUUID": name, "bootID": name},
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": {}}, status


class Scheduler:
    """Binds pods to nodes: the one with the fewest of all that may take it."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        waiting = [pod for pod in world.store.every("Pod") if not pod["spec"].get("nodeName") and not going(pod)]
        if not waiting:
            return
        nodes = world.store.every("Node")
        load = {node["metadata"]["name"]: 0 for node in nodes}
        for pod in world.store.every("Pod"):
            name = pod["spec"].get("nodeName")
            if name in load and pod["status"].get("phase") not in {"Succeeded", "Failed"}:
                load[name] += 1
        for pod in waiting:
            fits = [node for node in nodes if why_not(node, pod, load) == ""]
            if fits:
                chosen = min((node["metadata"]["name"] for node in fits), key=lambda name: (load[name], name))
                load[chosen] += 1
                world.bare_change(pod, partial(_bind, world, chosen))
                said = f"Successfully assigned {pod['metadata']['namespace']}/{pod['metadata']['name']} to {chosen}"
                world.event(pod, "Scheduled", said, "default-scheduler")
                yield
            elif self._refuse(world, pod, nodes, load):
                yield

    def _refuse(self, world: World, pod: JsonObject, nodes: list[JsonObject], load: dict[str, int]) -> bool:
        reasons = [why_not(node, pod, load) for node in nodes]
        counted = ", ".join(f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons)))
        message = f"0/{len(nodes)} nodes are available: {counted}."
        before = condition(pod["status"], "PodScheduled")
        if before is not None and (before["status"], before.get("message")) == ("False", message):
            return False
        since = world.store.clock.stamp()
        times = {"lastProbeTime": None, "lastTransitionTime": since}
        fresh = {"type": "PodScheduled", "status": "False", **times, "reason": "Unschedulable", "message": message}
        world.bare_change(pod, lambda it: it["status"].update(conditions=[fresh]))
        world.event(pod, "FailedScheduling", message, "default-scheduler", warning=True)
        return True


def why_not(node: JsonObject, pod: JsonObject, load: dict[str, int]) -> str:
    """Return why a node cannot take a pod, in the scheduler's words; empty when it can."""
    spec = node["spec"]
    if spec.get("unschedulable"):
        return "node(s) were unschedulable"
    for taint in spec.get("taints", ()):
        if taint["effect"] in {"NoSchedule", "NoExecute"} and not tolerates(pod, taint):
            return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
    labels = node["metadata"].get("labels", {})
    if not pod["spec"].get("nodeSelector", {}).items() <= labels.items():
        return "node(s) didn't match Pod's node affinity/selector"
    if load[node["metadata"]["name"]] >= int(node["status"].get("allocatable", {}).get("pods", 110)):
        return "Too many pods"
    ready = condition(node["status"], "Ready")
    return "" if ready and ready["status"] == "True" else "node(s) were not ready"


def tolerates(pod: JsonObject, taint: JsonObject) -> bool:
    """Whether a pod tolerates a taint, if only for a while."""
    return toleration(pod, taint) is not None


def toleration(pod: JsonObject, taint: JsonObject) -> JsonObject | None:
    """Return the toleration of a pod that fits a taint."""
    for one in pod["spec"].get("tolerations", ()):
        if one.get("effect") not in {None, "", taint["effect"]}:
            continue
        exists = one.get("operator") == "Exists" and one.get("key") in {None, "", taint["key"]}
        equal = one.get("key") == taint["key"] and one.get("value", "") == taint.get("value", "")
        if exists or (one.get("operator", "Equal") == "Equal" and equal):
            found: JsonObject = one
            return found
    return None


def _bind(world: World, node: str, pod: JsonObject) -> None:
    pod["spec"]["nodeName"] = node
    times = {"lastProbeTime": None, "lastTransitionTime": world.store.clock.stamp()}
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "True", **times}]


class NodeLife:
    """Marks silent nodes Unknown, taints them and the cordoned ones, and evicts what does not tolerate it."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for node in world.store.every("Node"):
            name = node["metadata"]["name"]
            silent = False
            if name in world.dead:
                silent = world.now >= world.dead[name] + _GRACE
                world.at(world.dead[name] + _GRACE)
            if self._judge(world, node, silent=silent):
                yield
            node = world.store.get("Node", "", name) or node  # noqa: PLW2901 -- as it is after the judgement
            if self._taint(world, node, silent=silent):
                yield
            yield from self._pods(world, world.store.get("Node", "", name) or node, silent=silent)
        yield from self._lost(world)

    def _judge(self, world: World, node: JsonObject, *, silent: bool) -> bool:
        ready = condition(node["status"], "Ready")
        if ready is None or (ready["status"] == "Unknown") == silent:
            return False
        status, now = draft(node["status"]), world.store.clock.stamp()
        for one in status["conditions"]:
            healthy = _PRESSURES.get(one["type"], ("KubeletReady", "kubelet is posting ready status"))
            reason, message = _UNKNOWN if silent else healthy
            value = "Unknown" if silent else "True" if one["type"] == "Ready" else "False"
            one |= {"status": value, "lastTransitionTime": now, "reason": reason, "message": message}
            if not silent:
                one["lastHeartbeatTime"] = now
        world.set_status(node, status)
        said = f"Node {node['metadata']['name']} status is now: {'NodeNotReady' if silent else 'NodeReady'}"
        world.event(node, "NodeNotReady" if silent else "NodeReady", said, "node-controller")
        return True

    def _taint(self, world: World, node: JsonObject, *, silent: bool) -> bool:
        taints = node["spec"].get("taints", [])
        wanted = [one for one in taints if one["key"] not in {_CORDONED, _SILENT}]
        now = world.store.clock.stamp()
        if silent:
            wanted.append({"key": _SILENT, "effect": "NoSchedule", "timeAdded": now})
            wanted.append({"key": _SILENT, "effect": "NoExecute", "timeAdded": now})
        if node["spec"].get("unschedulable"):
            wanted.append({"key": _CORDONED, "effect": "NoSchedule", "timeAdded": now})
        if {(one["key"], one["effect"]) for one in wanted} == {(one["key"], one["effect"]) for one in taints}:
            return False
        times = {(one["key"], one["effect"]): one.get("timeAdded", now) for one in taints}
        for one in wanted:
            if "timeAdded" in one:
                one["timeAdded"] = times.get((one["key"], one["effect"]), now)

        def edit(body: JsonObject) -> None:
            body["spec"]["taints"] = wanted
            if not wanted:
                del body["spec"]["taints"]

        world.change(node, edit)
        return True

    def _pods(self, world: World, node: JsonObject, *, silent: bool) -> Iterator[None]:
        name = node["metadata"]["name"]
        executing = [one for one in node["spec"].get("taints", ()) if one["effect"] == "NoExecute"]
        if not silent and not executing:
            return
        for pod in world.store.every("Pod"):
            if pod["spec"].get("nodeName") != name or going(pod):
                continue
            if silent and self._unready(world, pod):
                yield
            if any(self._over(world, pod, taint) for taint in executing):
                drop(world, pod)
                world.event(
                    pod, "TaintManagerEviction", f"Marking for deletion Pod {name}", "taint-eviction-controller"
                )
                yield

    def _unready(self, world: World, pod: JsonObject) -> bool:
        """Mark a pod on a silent node not Ready: its phase stays, for nobody knows better."""
        ready = condition(pod["status"], "Ready")
        if ready is None or ready["status"] != "True":
            return False
        status = draft(pod["status"])
        for one in status["conditions"]:
            if one["type"] == "Ready":
                one |= {"status": "False", "lastTransitionTime": world.store.clock.stamp()}
        world.set_status(pod, status)
        return True

    def _over(self, world: World, pod: JsonObject, taint: JsonObject) -> bool:
        """Whether a pod has tolerated a taint for long enough."""
        found = toleration(pod, taint)
        if found is None:
            return (owner(pod) or {}).get("kind") != "DaemonSet"
        if "tolerationSeconds" not in found:
            return False
        end = instant(taint.get("timeAdded", world.store.clock.stamp())) + float(found["tolerationSeconds"])
        world.at(end)
        return world.now >= end

    def _lost(self, world: World) -> Iterator[None]:
        """Forget pods of nodes that are no more."""
        nodes = {node["metadata"]["name"] for node in world.store.every("Node")}
        for pod in world.store.every("Pod"):
            if pod["spec"].get("nodeName", "") not in {"", *nodes}:
                world.store.remove(of("Pod"), pod)
                yield
