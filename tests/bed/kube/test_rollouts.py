"""Deployments over time at the peer: rollouts, bad images, crashes, deadlines, pauses, undo."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.bed.kube import Behaviour, Cluster
from tests.bed.kube.conditions import condition
from tests.bed.kube.manifests import deployment
from tests.bed.kube.store import Clock
from tests.bed.kube.talk import path, talking
from tests.bed.kube.world import World
from tests.bed.web import JsonObject


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(automatic=False, clock=Clock.still()) as running:
        running.apply(deployment(replicas=4))
        running.settled()
        yield running


def status(cluster: Cluster, name: str = "web") -> JsonObject:
    found: JsonObject = cluster.get("Deployment", "shop", name)["status"]
    return found


def finding(cluster: Cluster, kind: str) -> tuple[str, str]:
    found = condition(status(cluster), kind) or {}
    return found.get("status", ""), found.get("reason", "")


def image(cluster: Cluster, name: str, **spec: object) -> None:
    """Roll out an image."""
    template = {"spec": {"containers": [{"name": "c", "image": name}]}}
    cluster.patch("Deployment", "shop", "web", {"spec": {"template": template, **spec}})


def state(cluster: Cluster, name: str) -> list[JsonObject]:
    """Return the states of the containers that run an image."""
    pods = [pod for pod in cluster.pods("shop") if pod["spec"]["containers"][0]["image"] == name]
    return [pod["status"]["containerStatuses"][0] for pod in pods]


def sizes(cluster: Cluster) -> dict[str, int]:
    """Return {revision: replicas} of the ReplicaSets."""
    return {
        one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: one["spec"]["replicas"]
        for one in cluster.every("ReplicaSet", "shop")
    }


async def test_a_rollout_replaces_every_pod_and_counts_its_revision(cluster: Cluster) -> None:
    before = {pod["metadata"]["uid"] for pod in cluster.pods("shop")}
    image(cluster, "shop:2")
    assert status(cluster)["observedGeneration"] == 1  # nobody has looked yet
    cluster.settled()
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in cluster.pods("shop"))
    found = cluster.get("Deployment", "shop", "web")
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert (found["status"]["observedGeneration"], found["status"]["readyReplicas"]) == (2, 4)
    assert finding(cluster, "Progressing") == ("True", "NewReplicaSetAvailable")
    assert sizes(cluster) == {"1": 0, "2": 4}


async def test_a_rollout_takes_its_time_and_stays_within_its_limits(cluster: Cluster) -> None:
    cluster.images["shop:2"] = Behaviour.healthy(ready_after=30)
    image(cluster, "shop:2")
    cluster.settled()
    assert (status(cluster)["updatedReplicas"], status(cluster)["readyReplicas"]) == (2, 3)
    assert finding(cluster, "Progressing") == ("True", "ReplicaSetUpdated")
    for _ in range(8):
        cluster.advance(10)
        assert status(cluster)["readyReplicas"] >= 3
        assert len(cluster.pods("shop")) <= 5
    assert sizes(cluster) == {"1": 0, "2": 4}


async def test_a_bad_image_runs_into_the_deadline_and_leaves_the_old_pods(cluster: Cluster) -> None:
    cluster.images["shop:bad"] = Behaviour.unpullable()
    image(cluster, "shop:bad", progressDeadlineSeconds=60)
    cluster.settled()
    waiting = [one["state"]["waiting"]["reason"] for one in state(cluster, "shop:bad")]
    assert waiting == ["ImagePullBackOff"] * 2
    assert finding(cluster, "Progressing") == ("True", "ReplicaSetUpdated")
    cluster.advance(61)
    assert finding(cluster, "Progressing") == ("False", "ProgressDeadlineExceeded")
    assert finding(cluster, "Available") == ("True", "MinimumReplicasAvailable")
    assert status(cluster)["availableReplicas"] == 3


async def test_an_undo_brings_the_old_replica_set_back(cluster: Cluster) -> None:
    old = cluster.every("ReplicaSet", "shop")[0]["metadata"]["name"]
    cluster.images["shop:bad"] = Behaviour.crashes()
    image(cluster, "shop:bad")
    cluster.settled()
    image(cluster, "shop:1")
    cluster.settled()
    assert sizes(cluster) == {"2": 0, "3": 4}
    revived = cluster.get("ReplicaSet", "shop", old)
    assert revived["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert finding(cluster, "Progressing") == ("True", "NewReplicaSetAvailable")


async def test_crashing_containers_are_restarted_more_and_more_slowly(cluster: Cluster) -> None:
    cluster.images["shop:bad"] = Behaviour.crashes(exit_code=3)
    image(cluster, "shop:bad")
    cluster.settled()
    first = state(cluster, "shop:bad")[0]
    assert (first["restartCount"], first["state"]["waiting"]["reason"]) == (1, "CrashLoopBackOff")
    assert first["lastState"]["terminated"]["exitCode"] == 3
    counts = []
    for _ in range(4):
        cluster.advance(20)
        counts.append(state(cluster, "shop:bad")[0]["restartCount"])
    assert counts == [2, 3, 3, 4]  # after 10, 20 and 40 seconds
    cluster.images["shop:bad"] = Behaviour.healthy()
    cluster.advance(100)
    assert all(one["ready"] for one in state(cluster, "shop:bad"))
    assert sizes(cluster) == {"1": 0, "2": 4}


async def test_memory_kills(cluster: Cluster) -> None:
    cluster.images["shop:1"] = Behaviour.out_of_memory(after=30)
    cluster.advance(31)
    found = state(cluster, "shop:1")[0]
    assert (
        found["lastState"]["terminated"] | {"reason": "OOMKilled", "exitCode": 137} == found["lastState"]["terminated"]
    )
    assert (found["restartCount"], found["ready"]) == (1, True)
    cluster.advance(30)
    assert state(cluster, "shop:1")[0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert finding(cluster, "Available") == ("False", "MinimumReplicasUnavailable")


async def test_a_restart_is_a_rollout_of_the_same_image(cluster: Cluster) -> None:
    before = {pod["metadata"]["uid"] for pod in cluster.pods("shop")}
    mark = {"kubectl.kubernetes.io/restartedAt": "2026-11-27T08:00:00Z"}
    cluster.patch("Deployment", "shop", "web", {"spec": {"template": {"metadata": {"annotations": mark}}}})
    cluster.settled()
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in cluster.pods("shop"))
    assert sizes(cluster) == {"1": 0, "2": 4}


async def test_a_paused_deployment_scales_and_does_not_roll(cluster: Cluster) -> None:
    cluster.patch("Deployment", "shop", "web", {"spec": {"paused": True}})
    cluster.settled()
    assert finding(cluster, "Progressing") == ("Unknown", "DeploymentPaused")
    image(cluster, "shop:2", replicas=5)
    cluster.settled()
    assert sizes(cluster) == {"1": 5}
    assert status(cluster)["observedGeneration"] == 3
    cluster.patch("Deployment", "shop", "web", {"spec": {"paused": None}})
    cluster.settled()
    assert sizes(cluster) == {"1": 0, "2": 5}
    assert finding(cluster, "Progressing") == ("True", "NewReplicaSetAvailable")


async def test_recreate_stops_all_before_it_starts_any(cluster: Cluster) -> None:
    cluster.images["slow:1"] = Behaviour.healthy(stops_after=20)
    cluster.apply(deployment("slow", image="slow:1", strategy={"type": "Recreate"}))
    cluster.settled()
    template = {"spec": {"containers": [{"name": "c", "image": "slow:2"}]}}
    cluster.patch("Deployment", "shop", "slow", {"spec": {"template": template}})
    cluster.settled()
    assert cluster.pods("shop", "slow") == []
    cluster.advance(21)
    assert [pod["spec"]["containers"][0]["image"] for pod in cluster.pods("shop", "slow")] == ["slow:2"] * 2


async def test_min_ready_seconds_delay_availability(cluster: Cluster) -> None:
    cluster.apply(deployment("late", minReadySeconds=30))
    cluster.settled()
    assert (status(cluster, "late")["readyReplicas"], status(cluster, "late").get("availableReplicas", 0)) == (2, 0)
    cluster.advance(31)
    assert status(cluster, "late")["availableReplicas"] == 2


async def test_scaling_down_takes_what_is_not_ready_first(cluster: Cluster) -> None:
    ready = {pod["metadata"]["name"] for pod in cluster.pods("shop")}
    cluster.images["shop:1"] = Behaviour.healthy(ready_after=60)
    cluster.advance(61)
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 6}})
    cluster.settled()
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 4}})
    cluster.settled()
    assert {pod["metadata"]["name"] for pod in cluster.pods("shop")} == ready


async def test_old_replica_sets_are_forgotten_beyond_the_limit(cluster: Cluster) -> None:
    cluster.patch("Deployment", "shop", "web", {"spec": {"revisionHistoryLimit": 1}})
    for number in (2, 3, 4):
        image(cluster, f"shop:{number}")
        cluster.settled()
    assert sizes(cluster) == {"3": 0, "4": 4}


async def test_events_tell_what_happened_and_are_counted(cluster: Cluster) -> None:
    cluster.images["shop:bad"] = Behaviour.crashes()
    image(cluster, "shop:bad")
    cluster.advance(100)
    found = {(event["reason"], event["count"] > 1) for event in cluster.every("Event", "shop")}
    assert {("ScalingReplicaSet", False), ("SuccessfulCreate", False), ("BackOff", True)} <= found


async def test_whoever_waits_hears_that_the_controllers_have_failed() -> None:
    class Fights:
        def work(self, world: World) -> Iterator[None]:
            world.change(
                world.store.every("Node")[0], lambda it: it["metadata"].update(labels={"x": str(world.store.version)})
            )
            yield

    async def wait() -> None:
        async with Cluster() as running:
            running.runner.controllers["Fights"] = Fights()
            running.namespace("shop")
            await running.until(lambda: False)

    with pytest.raises(RuntimeError, match="do not come to rest: MODIFIED Node node-1"):
        await wait()


async def test_without_a_hand_on_the_clock_it_works_by_itself() -> None:
    async with Cluster() as running, talking(running) as talk:
        running.images["shop:1"] = Behaviour.healthy(ready_after=0.05)
        answer = await talk.send("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        assert answer.status == 201
        assert (await talk.send("POST", path("deploy"), deployment())).status == 201
        await running.until(lambda: status(running).get("readyReplicas") == 2)
        await talk.patch(f"{path('deploy', 'web')}/scale", {"spec": {"replicas": 1}})
        await running.until(lambda: status(running).get("replicas") == 1 and len(running.every("Pod", "shop")) == 1)
