"""What the probes of a cluster see: rollouts, pods, nodes, autoscalers, events and logs, as controllers leave them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from responder.app import catalogue
from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.domain.errors import Permanent
from responder.ports.probe import Probe, Reading
from tests.bed.kube.cluster import Cluster
from tests.bed.kube.images import Behaviour
from tests.conformance.bed_kubernetes import workload

PROBES = catalogue().probes
WEB = "deployment/shop/web"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=2, automatic=False) as one:
        one.apply(workload("Deployment", "web", "shop:1"))
        one.settled()
        yield one


@pytest.fixture
async def tools(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Toolbox]:
    box = Toolbox({}, {}, clusters={"eu": ClusterSpec(cluster.kubeconfig(tmp_path / "kubeconfig"))})
    yield box
    await box.close()


async def look(tools: Toolbox, name: str, **given: Any) -> Reading:  # noqa: ANN401 - whatever a probe takes
    return await probe(name, **given).look({}, tools)


def count(reading: Reading) -> float:
    [value] = reading.values
    assert isinstance(value, int | float)
    return value


def probe(name: str, **given: Any) -> Probe:  # noqa: ANN401 - whatever a probe takes
    return PROBES[f"kubernetes.{name}"].model_validate(given)


async def test_a_rollout_is_complete_when_every_pod_is_new_and_available(cluster: Cluster, tools: Toolbox) -> None:
    assert (await look(tools, "rollout", of=WEB)).values == (True,)
    cluster.images["shop:bad"] = Behaviour.crashes()
    cluster.apply(workload("Deployment", "web", "shop:bad", progressDeadlineSeconds=30))
    assert (await look(tools, "rollout", of=WEB)).values == (False,)  # its controller has not seen it yet
    cluster.settled()
    cluster.advance(60)
    seen = await look(tools, "rollout", of=WEB)
    assert seen.values == (False,)
    assert "ProgressDeadlineExceeded" in seen.note
    assert (await look(tools, "rollout", of=WEB, read="wanted")).values == (2,)
    assert (await look(tools, "rollout", of="deployment/shop/gone")).values == ()


async def test_pods_that_crash_are_counted_named_and_listed(cluster: Cluster, tools: Toolbox) -> None:
    assert (await look(tools, "pods", of=WEB)).values == (0,)
    assert (await look(tools, "pods", of=WEB, read="ready")).values == (2,)
    cluster.images["shop:bad"] = Behaviour.crashes()
    cluster.apply(workload("Deployment", "web", "shop:bad"))
    cluster.settled()
    cluster.advance(30)
    seen = await look(tools, "pods", of=WEB, read="crash_looping")
    assert count(seen) > 0
    assert "CrashLoopBackOff" in seen.note
    assert count(await look(tools, "pods", of=WEB, read="restarts")) > 0
    listed = await probe("pods", of=WEB, read="crash_looping").items({}, tools)
    assert len(listed) == seen.values[0]
    assert all(isinstance(one, dict) and one["namespace"] == "shop" and str(one["name"]) in seen.note for one in listed)


async def test_of_a_workload_without_pods_none_is_ready_and_nobody_knows_of_those_that_are_not(
    cluster: Cluster, tools: Toolbox
) -> None:
    full = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": "shop"}}
    cluster.apply({**full, "spec": {"hard": {"pods": "0"}}})
    cluster.apply(workload("Deployment", "late", "shop:1"))
    cluster.settled()
    assert cluster.pods("shop", "late") == []
    seen = await look(tools, "pods", of="deployment/shop/late")
    assert seen == Reading((), "there are no pods of deployment/shop/late")
    assert (await look(tools, "pods", of="deployment/shop/late", read="ready")).values == (0,)
    assert await probe("pods", of="deployment/shop/late").items({}, tools) == []
    cluster.apply(workload("Deployment", "web", "shop:1", replicas=0))
    cluster.settled()
    assert (await look(tools, "pods", of=WEB, read="ready")).values == (0,)


async def test_a_dead_node_is_not_ready(cluster: Cluster, tools: Toolbox) -> None:
    assert (await look(tools, "nodes")).values == (0,)
    cluster.kill_node("node-2")
    cluster.advance(60)
    seen = await look(tools, "nodes")
    assert (seen.values, seen.note) == ((1,), "node-2")
    assert await probe("nodes").items({}, tools) == ["node-2"]
    assert (await look(tools, "nodes", node="node-1", read="ready")).values == (1,)
    with pytest.raises(Permanent):
        await look(tools, "nodes", node="../pods")


async def test_what_a_drain_would_send_away_is_listed(cluster: Cluster, tools: Toolbox) -> None:
    cluster.apply(workload("DaemonSet", "agent", "agent:1"))
    cluster.settled()
    every = [
        one
        for node in ("node-1", "node-2")
        for one in await probe("pods", of=f"node/{node}", read="movable").items({}, tools)
    ]
    names = {pod["metadata"]["name"] for pod in cluster.pods("shop", "web")}
    assert {str(one["name"]) for one in every if isinstance(one, dict)} == names
    assert len(await probe("pods", of="node/node-1", read="all").items({}, tools)) > len(every) / 2


async def test_events_of_a_workload_are_those_of_its_pods_too(cluster: Cluster, tools: Toolbox) -> None:
    cluster.images["shop:bad"] = Behaviour.crashes()
    cluster.apply(workload("Deployment", "web", "shop:bad"))
    cluster.settled()
    cluster.advance(30)
    seen = await look(tools, "events", of=WEB, reason="BackOff", since="1h")
    assert count(seen) > 0
    assert "BackOff web-" in seen.note
    assert (await look(tools, "events", of=WEB, reason="BackOff", type="Normal")).values == (0,)


async def test_lines_of_a_log_are_counted_and_only_matching_ones_shown(cluster: Cluster, tools: Toolbox) -> None:
    [first, second] = [pod["metadata"]["name"] for pod in cluster.pods("shop", "web")]
    cluster.log("shop", first, "token=planted-secret\npool exhausted\n")
    cluster.log("shop", second, f"pool exhausted: {'x' * 90} password=planted-secret\n")
    seen = await look(tools, "logs", of=WEB, contains="pool exhausted")
    assert seen.values == (2,)
    assert "password=<se…" in seen.note
    assert "planted" not in (await look(tools, "logs", of=f"pod/shop/{first}")).note


@pytest.mark.parametrize("of", ["http/checkout", "deployment/shop", "deployment/../x", "cronjob/shop/nightly"])
async def test_what_is_no_such_object_is_refused(tools: Toolbox, of: str) -> None:
    with pytest.raises(Permanent):
        await look(tools, "rollout", of=of)


async def test_a_cluster_is_taken_from_the_alert_or_is_the_only_one(tools: Toolbox) -> None:
    wanted = probe("rollout", of=WEB)
    assert (await wanted.look({"cluster": "eu"}, tools)).values == (True,)
    with pytest.raises(Permanent, match="'us' is not configured"):
        await wanted.look({"cluster": "us"}, tools)


async def test_what_made_a_pod_is_found_behind_its_replicaset(cluster: Cluster, tools: Toolbox) -> None:
    of = f"pod/shop/{cluster.pods('shop', 'web')[0]['metadata']['name']}"
    seen = await look(tools, "owner", of=of)
    assert seen.values == ("deployment",)
    assert seen.note.endswith("deployment web")
    assert (await look(tools, "owner", of=of, read="deployment")).values == ("web",)
    assert (await look(tools, "owner", of=of, read="cronjob")).values == ()
    assert (await look(tools, "owner", of="pod/shop/gone")).values == ()


async def test_what_is_used_is_summed_up_and_the_hungriest_named(cluster: Cluster, tools: Toolbox) -> None:
    first, second = sorted(pod["metadata"]["name"] for pod in cluster.pods("shop", "web"))
    cluster.usage("shop", first, "300m", "64Mi")
    cluster.usage("shop", second, "1", "32Mi")
    assert count(await look(tools, "top", of=WEB)) == pytest.approx(1.3)
    seen = await look(tools, "top", of=WEB, how="most")
    assert seen.values == (1,)
    assert seen.note.startswith(second)
    assert (await look(tools, "top", of=f"pod/shop/{first}", read="memory")).values == (64 * 2**20,)
    used = [count(await look(tools, "top", of=f"node/node-{number}")) for number in (1, 2)]
    assert sum(used) == pytest.approx(1.3)
    assert (await look(tools, "top", of="node/gone")).values == ()


async def test_the_fullest_quota_is_told_as_a_share(cluster: Cluster, tools: Toolbox) -> None:
    assert (await look(tools, "quota", of="namespace/shop")).values == ()
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": "shop"},
        "spec": {"hard": {"pods": "10", "limits.memory": "2Gi"}},
        "status": {
            "hard": {"pods": "10", "limits.memory": "2Gi"},
            "used": {"pods": "2", "limits.memory": "1Gi"},
        },
    }
    cluster.apply(quota)
    seen = await look(tools, "quota", of="namespace/shop")
    assert seen.values == (0.5,)
    assert seen.note.startswith("small limits.memory 1073741824 of 2147483648, small pods 2 of 10")
    assert (await look(tools, "quota", of="namespace/shop", resource="pods")).values == (0.2,)


async def test_endpoints_are_counted_by_whether_they_take_requests(cluster: Cluster, tools: Toolbox) -> None:
    assert (await look(tools, "endpoints", service="shop/web")).values == ()
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    cluster.apply(service)
    cluster.settled()
    assert (await look(tools, "endpoints", service="shop/web")).values == (2,)
    cluster.images["shop:bad"] = Behaviour.never_ready()
    cluster.apply(workload("Deployment", "web", "shop:bad"))
    cluster.settled()
    assert count(await look(tools, "endpoints", service="shop/web", read="not_ready")) >= 1
    with pytest.raises(Permanent, match="write NAMESPACE/NAME"):
        await look(tools, "endpoints", service="web")


async def test_how_a_job_has_ended_is_told_with_why(cluster: Cluster, tools: Toolbox) -> None:
    assert (await look(tools, "job", of="job/shop/broken")).values == ()
    cluster.images["shop:broken"] = Behaviour.completes(exit_code=1)
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "shop:broken"}]}}
    about = {"name": "nightly", "namespace": "shop"}
    spec = {"schedule": "0 3 1 1 *", "jobTemplate": {"spec": {"template": template}}}
    by = cluster.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": about, "spec": spec})
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": by["metadata"]["uid"]}
    meta = {"name": "broken", "namespace": "shop", "ownerReferences": [owner]}
    once = {"backoffLimit": 0, "template": template}
    cluster.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": once})
    assert (await look(tools, "job", of="job/shop/broken", read="failed")).values == (False,)
    cluster.settled()
    cluster.advance(5)
    seen = await look(tools, "job", of="cronjob/shop/nightly", read="failed")
    assert seen.values == (True,)
    assert seen.note.startswith("broken: ")
    assert (await look(tools, "job", of="job/shop/broken")).values == (False,)
    assert (await look(tools, "job", of="job/shop/broken", read="active")).values == (0,)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
async def test_what_the_last_revision_changed_and_how_the_one_before_is(
    cluster: Cluster, tools: Toolbox, kind: str
) -> None:
    of = f"{kind.lower()}/shop/it"
    more = {"serviceName": "it"} if kind == "StatefulSet" else {}
    cluster.apply(workload(kind, "it", "it:1", **more))
    assert (await look(tools, "revision", of=of)).values == ()  # its controller has not seen it yet
    cluster.settled()
    only = await look(tools, "revision", of=of)
    assert (only.values, only.note) == ((), "revision 1, the first that is kept")
    cluster.images["it:2"] = Behaviour.crashes()
    manifest = workload(kind, "it", "it:2", **more)
    manifest["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "TOKEN", "value": "planted-secret"}]
    cluster.apply(manifest)
    cluster.settled()
    seen = await look(tools, "revision", of=of)
    assert seen.values == (2,)
    assert "revision 1 → 2: " in seen.note
    assert "spec.containers[c].image: it:1 → it:2" in seen.note
    assert "planted" not in seen.note
    assert (await look(tools, "revision", of=of, read="number")).values == (2,)
    old = [pod for pod in cluster.pods("shop", "it") if pod["spec"]["containers"][0]["image"] == "it:1"]
    assert count(await look(tools, "revision", of=of, read="previous_ready")) == len(old) > 0
    ages = [count(await look(tools, "revision", of=of, read=read)) for read in ("previous_age", "age")]
    assert 0 <= ages[1] <= ages[0] < 600


async def test_how_full_a_volume_is_comes_from_the_kubelet_that_mounts_it(
    cluster: Cluster, tools: Toolbox, tmp_path: Path
) -> None:
    of = "pvc/shop/data"
    assert (await look(tools, "volume", of=of)) == Reading((), "no running pod mounts pvc shop/data")
    mounts = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db", "namespace": "shop"}}
    spec = {"containers": [{"name": "c", "image": "db:1"}], "volumes": [mounts], "nodeName": "node-2"}
    cluster.apply({**pod, "spec": spec})
    cluster.settled()
    assert (await look(tools, "volume", of=of)) == Reading((), "node-2: the kubelet has not measured pvc shop/data")
    cluster.volume("shop", "data", used=9 * 2**30, capacity=10 * 2**30)
    cluster.volume("shop", "other", used=0, capacity=2**30)
    seen = await look(tools, "volume", of=of)
    assert seen == Reading((0.9,), f"{9 * 2**30} of {10 * 2**30} on node-2")
    assert (await look(tools, "volume", of=of, read="free")).values == (2**30,)
    assert (await look(tools, "volume", of=of, read="inodes")).values == (0.1,)
    rights: list[dict[str, Any]] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    box = Toolbox({}, {}, clusters={"eu": ClusterSpec(cluster.kubeconfig(tmp_path / "least", user="least"))})
    cluster.allow("least", rights)
    with pytest.raises(Permanent, match="nodes/proxy"):
        await look(box, "volume", of=of)
    cluster.allow("least", [*rights, {"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["get"]}])
    assert (await look(box, "volume", of=of)).values == (0.9,)
    await box.close()
