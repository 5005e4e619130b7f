"""Stateful sets, jobs, cron jobs, autoscalers, budgets and services at the peer."""

from collections.abc import AsyncIterator

import pytest

from tests.bed.kube import Behaviour, Cluster
from tests.bed.kube.conditions import condition, holds
from tests.bed.kube.manifests import autoscaler, budget, deployment, job, workload
from tests.bed.kube.schedules import following
from tests.bed.kube.store import Clock, instant, stamp
from tests.bed.web import JsonObject


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(automatic=False, clock=Clock.still()) as running:
        yield running


def names(cluster: Cluster, app: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods("shop", app)]


def status(cluster: Cluster, kind: str, name: str) -> JsonObject:
    found: JsonObject = cluster.get(kind, "shop", name)["status"]
    return found


async def test_a_stateful_set_goes_up_and_down_by_ordinal(cluster: Cluster) -> None:
    cluster.images["shop:1"] = Behaviour.healthy(ready_after=10)
    cluster.apply(workload("StatefulSet", "db", replicas=3))
    cluster.settled()
    assert names(cluster, "db") == ["db-0"]
    cluster.advance(11)
    assert names(cluster, "db") == ["db-0", "db-1"]
    cluster.advance(30)
    assert (names(cluster, "db"), status(cluster, "StatefulSet", "db")["readyReplicas"]) == (
        ["db-0", "db-1", "db-2"],
        3,
    )
    cluster.patch("StatefulSet", "shop", "db", {"spec": {"replicas": 1}})
    cluster.settled()
    assert names(cluster, "db") == ["db-0"]


async def test_a_stateful_update_begins_at_the_top_and_stops_at_what_is_not_ready(cluster: Cluster) -> None:
    cluster.apply(workload("StatefulSet", "db", replicas=3))
    cluster.settled()
    cluster.images["shop:bad"] = Behaviour.crashes()
    template = {"spec": {"containers": [{"name": "c", "image": "shop:bad"}]}}
    cluster.patch("StatefulSet", "shop", "db", {"spec": {"template": template}})
    cluster.settled()
    images = [pod["spec"]["containers"][0]["image"] for pod in cluster.pods("shop", "db")]
    assert images == ["shop:1", "shop:1", "shop:bad"]
    found = status(cluster, "StatefulSet", "db")
    assert found["currentRevision"] != found["updateRevision"]
    assert (found["updatedReplicas"], found["currentReplicas"]) == (1, 2)


async def test_a_lost_stateful_pod_comes_back_under_its_name(cluster: Cluster) -> None:
    cluster.apply(workload("StatefulSet", "db", replicas=2))
    cluster.settled()
    before = cluster.get("Pod", "shop", "db-0")["metadata"]["uid"]
    cluster.delete("Pod", "shop", "db-0")
    cluster.settled()
    assert cluster.get("Pod", "shop", "db-0")["metadata"]["uid"] != before


async def test_a_job_completes(cluster: Cluster) -> None:
    cluster.images["task:1"] = Behaviour.completes(after=10)
    cluster.apply(job(completions=3, parallelism=2))
    cluster.settled()
    assert status(cluster, "Job", "task")["active"] == 2
    cluster.advance(25)
    found = status(cluster, "Job", "task")
    assert (found["succeeded"], holds(found, "Complete"), "active" in found) == (3, True, False)


@pytest.mark.parametrize(("policy", "limit"), [("Never", 2), ("OnFailure", 2)])
async def test_a_job_fails_after_its_limit(cluster: Cluster, policy: str, limit: int) -> None:
    cluster.images["task:1"] = Behaviour.completes(exit_code=1)
    manifest = job(backoffLimit=limit)
    manifest["spec"]["template"]["spec"]["restartPolicy"] = policy
    cluster.apply(manifest)
    cluster.advance(120)
    found = status(cluster, "Job", "task")
    assert (condition(found, "Failed") or {})["reason"] == "BackoffLimitExceeded"
    assert (found["failed"], "succeeded" in found) == (limit + 1 if policy == "Never" else 1, False)


async def test_a_job_has_a_deadline_and_a_time_to_live(cluster: Cluster) -> None:
    cluster.images["task:1"] = Behaviour.healthy()
    cluster.apply(job(activeDeadlineSeconds=30, ttlSecondsAfterFinished=60))
    cluster.advance(31)
    found = condition(status(cluster, "Job", "task"), "Failed") or {}
    assert (found["reason"], cluster.pods("shop", "task")) == ("DeadlineExceeded", [])
    cluster.advance(61)
    assert cluster.find("Job", "shop", "task") is None


async def test_a_cron_job_makes_jobs_on_its_schedule_unless_suspended(cluster: Cluster) -> None:
    meta = {"name": "nightly", "namespace": "shop"}
    spec = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": job()["spec"]}}
    cluster.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": spec})
    cluster.advance(301)
    assert len(cluster.every("Job", "shop")) == 1
    assert "lastSuccessfulTime" in status(cluster, "CronJob", "nightly")
    cluster.patch("CronJob", "shop", "nightly", {"spec": {"suspend": True}})
    cluster.advance(900)
    assert len(cluster.every("Job", "shop")) == 1
    cluster.patch("CronJob", "shop", "nightly", {"spec": {"suspend": False}})
    cluster.advance(3600)
    assert len(cluster.every("Job", "shop")) == 3  # the limit of the history


@pytest.mark.parametrize(
    ("schedule", "next_time"),
    [
        ("* * * * *", "2026-11-27T08:31:00Z"),
        ("0 9-17/4 * * *", "2026-11-27T09:00:00Z"),
        ("15,45 * * * *", "2026-11-27T08:45:00Z"),
        ("0 0 * * 0", "2026-11-29T00:00:00Z"),
        ("0 0 1 * 0", "2026-11-29T00:00:00Z"),
        ("@monthly", "2026-12-01T00:00:00Z"),
    ],
)
def test_schedules(schedule: str, next_time: str) -> None:
    assert stamp(following(schedule, instant("2026-11-27T08:30:30Z"))) == next_time


async def test_an_autoscaler_follows_the_load_within_its_bounds(cluster: Cluster) -> None:
    manifest = deployment()
    manifest["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    cluster.usage("shop", "web", cpu="50m")
    cluster.apply([manifest, autoscaler(low=2, high=5)])
    cluster.advance(20)
    assert len(cluster.pods("shop")) == 2
    cluster.usage("shop", "web", cpu="90m")
    cluster.advance(20)
    assert len(cluster.pods("shop")) == 4
    cluster.advance(20)
    found = status(cluster, "HorizontalPodAutoscaler", "web")
    assert (found["desiredReplicas"], (condition(found, "ScalingLimited") or {})["reason"]) == (5, "TooManyReplicas")
    cluster.usage("shop", "web", cpu="5m")
    cluster.advance(200)
    assert len(cluster.pods("shop")) == 5  # held back for five minutes
    cluster.advance(200)
    assert len(cluster.pods("shop")) == 2


async def test_an_autoscaler_brings_its_target_back_into_its_bounds(cluster: Cluster) -> None:
    cluster.apply([deployment(replicas=3), autoscaler(low=2, high=4)])
    cluster.settled()
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 9}}, manager="responder")
    cluster.settled()
    assert cluster.get("Deployment", "shop", "web")["spec"]["replicas"] == 4
    cluster.patch("HorizontalPodAutoscaler", "shop", "web", {"spec": {"minReplicas": 6, "maxReplicas": 8}})
    cluster.advance(20)
    assert cluster.get("Deployment", "shop", "web")["spec"]["replicas"] == 6
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 0}})
    cluster.advance(60)
    found = condition(status(cluster, "HorizontalPodAutoscaler", "web"), "ScalingActive") or {}
    assert (found["reason"], cluster.pods("shop")) == ("ScalingDisabled", [])


async def test_a_gitops_tool_takes_back_what_it_owns_and_nothing_else(cluster: Cluster) -> None:
    cluster.apply(deployment(replicas=2))
    meta = {"name": "web", "namespace": "shop"}
    cluster.keep({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"replicas": 2}}, "argocd")
    cluster.settled()
    cluster.patch("Deployment", "shop", "web", {"spec": {"replicas": 5, "minReadySeconds": 1}}, manager="responder")
    cluster.settled()
    spec = cluster.get("Deployment", "shop", "web")["spec"]
    assert (spec["replicas"], spec["minReadySeconds"]) == (2, 1)


async def test_a_full_quota_stops_every_kind_of_workload_and_no_controller(cluster: Cluster) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "shop"}}
    cluster.apply({**quota, "spec": {"hard": {"pods": "1"}}})
    sets = [workload("StatefulSet", "db", replicas=2), workload("DaemonSet", "agent"), job(completions=1)]
    cluster.apply([*sets, deployment()])
    cluster.settled()
    assert len(cluster.every("Pod", "shop")) == 1
    refused = [event for event in cluster.every("Event", "shop") if event["reason"] == "FailedCreate"]
    assert len({event["involvedObject"]["kind"] for event in refused}) >= 3
    cluster.patch("ResourceQuota", "shop", "q", {"spec": {"hard": {"pods": "10"}}})
    cluster.settled()
    assert len(cluster.every("Pod", "shop")) == 8


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ({"minAvailable": 3}, 1),
        ({"minAvailable": "50%"}, 2),
        ({"maxUnavailable": 1}, 1),
        ({"maxUnavailable": "50%"}, 2),
        ({"minAvailable": 4}, 0),
    ],
)
async def test_budgets_count(cluster: Cluster, spec: JsonObject, allowed: int) -> None:
    cluster.apply([deployment(replicas=4), budget(**spec)])
    cluster.settled()
    found = status(cluster, "PodDisruptionBudget", "web")
    assert (found["disruptionsAllowed"], found["currentHealthy"], found["expectedPods"]) == (allowed, 4, 4)
    assert holds(found, "DisruptionAllowed") == bool(allowed)


async def test_a_service_knows_which_pods_are_ready(cluster: Cluster) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}}
    cluster.apply([{**service, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}, deployment()])
    cluster.settled()
    found = cluster.get("Endpoints", "shop", "web")["subsets"][0]
    assert (len(found["addresses"]), "notReadyAddresses" in found) == (2, False)
    cluster.images["shop:1"] = Behaviour.never_ready()
    cluster.settled()
    found = cluster.get("Endpoints", "shop", "web")["subsets"][0]
    assert ("addresses" in found, len(found["notReadyAddresses"])) == (False, 2)
    sliced = cluster.every("EndpointSlice", "shop")[0]["endpoints"]
    assert [one["conditions"]["ready"] for one in sliced] == [False, False]
