"""Nodes at the peer: scheduling, cordons, taints, deaths."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.bed.kube import Cluster
from tests.bed.kube.conditions import condition
from tests.bed.kube.manifests import deployment, workload
from tests.bed.kube.store import Clock
from tests.bed.kube.talk import path, talking
from tests.bed.web import JsonObject


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(automatic=False, clock=Clock.still()) as running:
        running.apply(deployment(replicas=6))
        running.settled()
        yield running


def places(pods: list[JsonObject]) -> Counter[str]:
    return Counter(pod["spec"].get("nodeName", "") for pod in pods)


async def test_pods_are_spread_and_a_cordoned_node_gets_no_more(cluster: Cluster) -> None:
    assert places(cluster.pods("shop")) == {"node-1": 2, "node-2": 2, "node-3": 2}
    async with talking(cluster) as talk:
        answer = await talk.patch(path("node", "node-1"), {"spec": {"unschedulable": True}})
        assert (answer.status, answer.body["spec"]["unschedulable"]) == (200, True)
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 12}})
    cluster.settled()
    assert places(cluster.pods("shop")) == {"node-1": 2, "node-2": 5, "node-3": 5}
    assert [one["key"] for one in cluster.get("Node", "", "node-1")["spec"]["taints"]] == [
        "node.kubernetes.io/unschedulable"
    ]
    cluster.patch("Node", "", "node-1", {"spec": {"unschedulable": None}})
    cluster.settled()
    assert "taints" not in cluster.get("Node", "", "node-1")["spec"]


async def test_without_a_place_a_pod_is_pending_and_says_why(cluster: Cluster) -> None:
    for number in (1, 2, 3):
        cluster.patch("Node", "", f"node-{number}", {"spec": {"unschedulable": True}})
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 7}})
    cluster.settled()
    pending = [pod for pod in cluster.pods("shop") if pod["status"]["phase"] == "Pending"]
    scheduled = condition(pending[0]["status"], "PodScheduled") or {}
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert scheduled["message"] == "0/3 nodes are available: 3 node(s) were unschedulable."
    cluster.add_node("node-4")
    cluster.settled()
    assert places(cluster.pods("shop"))["node-4"] == 1


async def test_a_dead_node_is_noticed_late_and_its_pods_stay(cluster: Cluster) -> None:
    def ready() -> str:
        found = condition(cluster.get("Node", "", "node-1")["status"], "Ready") or {}
        return str(found["status"])

    cluster.kill_node("node-1")
    cluster.advance(39)
    assert ready() == "True"
    cluster.advance(2)
    assert ready() == "Unknown"
    taints = {(one["key"], one["effect"]) for one in cluster.get("Node", "", "node-1")["spec"]["taints"]}
    assert taints == {("node.kubernetes.io/unreachable", "NoSchedule"), ("node.kubernetes.io/unreachable", "NoExecute")}
    lost = [pod for pod in cluster.pods("shop") if pod["spec"]["nodeName"] == "node-1"]
    assert [pod["status"]["phase"] for pod in lost] == ["Running"] * 2
    assert cluster.get("Deployment", "shop", "web")["status"]["readyReplicas"] == 4
    cluster.advance(300)
    assert places(cluster.pods("shop")) == {"node-2": 3, "node-3": 3}
    assert len(cluster.every("Pod", "shop")) == 8  # nobody on the dead node can end its two
    cluster.revive_node("node-1")
    cluster.settled()
    assert (ready(), len(cluster.every("Pod", "shop"))) == ("True", 6)


async def test_a_forced_delete_does_not_wait_for_a_dead_node(cluster: Cluster) -> None:
    cluster.kill_node("node-1")
    cluster.advance(41)
    lost = next(pod for pod in cluster.pods("shop") if pod["spec"]["nodeName"] == "node-1")["metadata"]["name"]
    async with talking(cluster) as talk:
        await talk.send("DELETE", path("pod", lost))
        cluster.advance(60)
        assert (await talk.get(path("pod", lost))).body["metadata"]["deletionTimestamp"]
        await talk.send("DELETE", path("pod", lost), {"gracePeriodSeconds": 0})
        assert (await talk.get(path("pod", lost))).status == 404


async def test_a_taint_that_is_not_tolerated_drives_out(cluster: Cluster) -> None:
    cluster.patch("Node", "", "node-1", {"spec": {"taints": [{"key": "repair", "effect": "NoExecute"}]}})
    cluster.settled()
    assert places(cluster.pods("shop")) == {"node-2": 3, "node-3": 3}


async def test_a_daemon_set_is_on_every_node_also_on_cordoned_ones(cluster: Cluster) -> None:
    cluster.patch("Node", "", "node-1", {"spec": {"unschedulable": True}})
    cluster.apply(workload("DaemonSet", "agent"))
    cluster.settled()
    assert places(cluster.pods("shop", "agent")) == {"node-1": 1, "node-2": 1, "node-3": 1}
    cluster.add_node("node-4")
    cluster.settled()
    status = cluster.get("DaemonSet", "shop", "agent")["status"]
    assert (status["desiredNumberScheduled"], status["numberReady"]) == (4, 4)
    template = {"spec": {"containers": [{"name": "c", "image": "shop:2"}]}}
    cluster.patch("DaemonSet", "shop", "agent", {"spec": {"template": template}})
    cluster.settled()
    status = cluster.get("DaemonSet", "shop", "agent")["status"]
    assert (status["updatedNumberScheduled"], status["numberAvailable"]) == (4, 4)
    assert [one["revision"] for one in cluster.every("ControllerRevision", "shop")] in ([1, 2], [2, 1])


async def test_the_pods_of_a_deleted_node_are_gone(cluster: Cluster) -> None:
    cluster.delete("Node", "", "node-1")
    cluster.settled()
    assert places(cluster.pods("shop")) == {"node-2": 3, "node-3": 3}
