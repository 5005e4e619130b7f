"""The peer's ledger and its misbehaviour: what landed is known whatever becomes of the answer; and it runs alone."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from kubernetes_asyncio import client, config, watch

from tests.bed.kube import Cluster
from tests.bed.kube.faults import Fault
from tests.bed.kube.kinds import KINDS
from tests.bed.kube.manifests import autoscaler, budget, deployment, job, workload
from tests.bed.kube.process import ClusterProcess
from tests.bed.kube.talk import path, talking
from tests.bed.waiting import eventually

SCALE = f"{path('deploy', 'web')}/scale"


async def test_the_ledger_says_who_did_what(cluster: Cluster) -> None:
    cluster.apply(deployment())
    async with talking(cluster) as talk:
        await talk.patch(SCALE, {"spec": {"replicas": 3}}, fieldManager="responder")
        await talk.get(SCALE)
        await talk.send("DELETE", path("deploy", "nope"))
    first, second = cluster.ledger.entries
    assert (first.user, first.user_agent, first.manager) == ("admin", "talk/1", "responder")
    assert (first.verb, first.resource, first.namespace, first.name) == (
        "patch",
        "deployments.apps/scale",
        "shop",
        "web",
    )
    assert first.before is not None
    assert first.after is not None
    assert (first.before["spec"]["replicas"], first.after["spec"]["replicas"]) == (2, 3)
    assert (first.version, first.status, first.applied) == (first.after["metadata"]["resourceVersion"], 200, True)
    assert (second.verb, second.status, second.applied) == ("delete", 404, False)
    assert cluster.ledger.effects("deployments.apps", "web") == [first]
    assert cluster.ledger.effects("deployments.apps/status") == []


@pytest.mark.parametrize("status", ["429", "500", "503"])
async def test_a_refusal_has_no_effect(cluster: Cluster, status: str) -> None:
    cluster.apply(deployment())
    cluster.fault(status, retry_after=7)
    async with talking(cluster) as talk:
        refused = await talk.patch(SCALE, {"spec": {"replicas": 3}})
        assert (refused.status, refused.body["kind"], refused.headers["Retry-After"]) == (int(status), "Status", "7")
        assert cluster.ledger.effects() == []
        assert (await talk.patch(SCALE, {"spec": {"replicas": 3}})).status == 200


@pytest.mark.parametrize(("kind", "landed"), [("lost_reply", 1), ("reset", 0)])
async def test_a_cut_connection_may_or_may_not_have_applied(cluster: Cluster, kind: str, landed: int) -> None:
    cluster.apply(deployment())
    cluster.fault(kind)
    async with talking(cluster) as talk:
        with pytest.raises(aiohttp.ClientError):
            await talk.patch(SCALE, {"spec": {"replicas": 3}})
    assert len(cluster.ledger.effects()) == landed
    assert cluster.ledger.entries[0].status is None


@pytest.mark.parametrize(("kind", "landed"), [("hang", 0), ("applied_hang", 1)])
async def test_a_hang_may_be_before_or_after_the_effect(cluster: Cluster, kind: str, landed: int) -> None:
    cluster.apply(deployment())
    cluster.fault(kind, path="/scale")
    async with talking(cluster) as talk:
        hanging = asyncio.create_task(talk.patch(SCALE, {"spec": {"replicas": 3}}))
        await cluster.faults.strike()
        await eventually(lambda: cluster.ledger.entries)
        assert len(cluster.ledger.effects()) == landed
        assert not hanging.done()
        hanging.cancel()


@pytest.mark.parametrize("fenced", [True, False])
async def test_a_delayed_request_is_overtaken_and_only_a_version_stops_it(cluster: Cluster, *, fenced: bool) -> None:
    made = cluster.apply(deployment())
    cluster.settled()
    version = cluster.get("Deployment", "shop", "web")["metadata"]["resourceVersion"]
    fence = {"metadata": {"resourceVersion": version, "uid": made["metadata"]["uid"]}} if fenced else {}
    cluster.fault("delayed", after_ms=0)
    cluster.faults.gate.clear()
    async with talking(cluster) as talk:
        with pytest.raises(aiohttp.ClientError):
            await talk.patch(SCALE, {**fence, "spec": {"replicas": 3}})
        assert cluster.ledger.entries == []
        assert (await talk.patch(SCALE, {"spec": {"replicas": 4}})).status == 200
        cluster.faults.gate.set()
        landed = await eventually(lambda: cluster.ledger.entries[1:])
    assert landed[0].applied == (not fenced)
    assert cluster.get("Deployment", "shop", "web")["spec"]["replicas"] == (4 if fenced else 3)


async def test_a_revoked_token_is_nobodys(cluster: Cluster) -> None:
    token = cluster.token("bob", groups=("system:masters",))
    async with talking(cluster, token) as talk:
        assert (await talk.get("/api/v1/pods")).status == 200
        cluster.revoke(token)
        assert (await talk.get("/api/v1/pods")).status == 401


async def test_an_effect_may_be_reported_as_a_failure(cluster: Cluster) -> None:
    cluster.apply(deployment())
    cluster.fault("applied_error", status=504)
    async with talking(cluster) as talk:
        assert (await talk.patch(SCALE, {"spec": {"replicas": 3}})).status == 504
    assert [entry.how for entry in cluster.ledger.effects()] == ["applied_error"]


async def test_reads_fail_only_when_asked(cluster: Cluster) -> None:
    cluster.apply(deployment())
    cluster.fault("503", on="read")
    cluster.fault("slow", on="read", after_ms=50)
    async with talking(cluster) as talk:
        assert (await talk.patch(SCALE, {"spec": {"replicas": 3}})).status == 200
        assert [(await talk.get(SCALE)).status for _ in range(2)] == [503, 200]
    assert len(cluster.ledger.entries) == 1


def test_a_fault_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        Fault("explode")
    with pytest.raises(ValueError, match="unknown target"):
        Fault("hang", on="watch")


@pytest.mark.parametrize("tls", [False, True])
async def test_the_client_library_finds_a_cluster(tmp_path: Path, *, tls: bool) -> None:
    async with Cluster(tls=tls) as cluster:
        cluster.apply(deployment())
        cluster.settled()
        found = cluster.kubeconfig(tmp_path / "kubeconfig", namespace="shop")
        await config.load_kube_config(str(found))
        async with client.ApiClient() as api:
            core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
            pods = await core.list_namespaced_pod("shop", _request_timeout=5)
            assert [pod.status.phase for pod in pods.items] == ["Running"] * 2
            scale = await apps.patch_namespaced_deployment_scale(
                "web", "shop", {"spec": {"replicas": 3}}, _request_timeout=5
            )
            assert scale.spec.replicas == 3
            with pytest.raises(client.ApiException) as refused:
                await apps.read_namespaced_deployment("nope", "shop", _request_timeout=5)
            assert refused.value.status == 404
            log = await core.read_namespaced_pod_log(pods.items[0].metadata.name, "shop", tail_lines=1)
            assert log == f"hello from {pods.items[0].metadata.name}/c\n"
    assert [entry.user_agent.split("/")[0] for entry in cluster.ledger.entries] == ["OpenAPI-Generator"]


async def test_the_client_library_can_read_every_kind(cluster: Cluster, tmp_path: Path) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}}
    nightly = {"schedule": "0 0 * * *", "jobTemplate": {"spec": job()["spec"]}}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "shop"}}
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "n", "namespace": "shop"},
        "spec": nightly,
    }
    cluster.apply([deployment(), workload("StatefulSet", "db"), workload("DaemonSet", "agent"), job(), cron])
    cluster.apply([budget(maxUnavailable=1), autoscaler(low=1, high=3), {**quota, "spec": {"hard": {"pods": "9"}}}])
    cluster.apply({**service, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})
    cluster.settled()
    await config.load_kube_config(str(cluster.kubeconfig(tmp_path / "kubeconfig")))
    async with client.ApiClient() as api:
        for kind in KINDS:
            if kind.custom:
                continue
            found = await api.call_api(
                f"{kind.path}/{kind.plural}",
                "GET",
                response_types_map={200: f"{kind.model}List"},
                auth_settings=["BearerToken"],
                _request_timeout=5,
            )
            assert found[0].items or kind.kind in EMPTY, kind


EMPTY = {"ConfigMap", "Secret", "PersistentVolumeClaim", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


async def test_the_client_library_watches(tmp_path: Path) -> None:
    async with Cluster() as cluster:
        cluster.namespace("shop")
        await config.load_kube_config(str(cluster.kubeconfig(tmp_path / "kubeconfig")))
        seen: list[tuple[str, str]] = []
        async with client.ApiClient() as api, watch.Watch() as stream:
            listing = client.CoreV1Api(api).list_namespaced_pod
            asyncio.get_running_loop().call_later(0.05, cluster.apply, deployment(replicas=1))
            async for event in stream.stream(listing, "shop", timeout_seconds=5):
                seen.append((event["type"], event["object"].status.phase))
                if seen[-1][1] == "Running":
                    break
    assert seen[0][0] == "ADDED"


async def test_the_process_keeps_its_ledger_beyond_its_death(cluster_process: ClusterProcess, tmp_path: Path) -> None:
    process = cluster_process
    process.do("apply", manifest=deployment())
    process.do("settled")
    process.image("shop:2", pulls=False)
    process.fault("lost_reply")
    token = process.do("token", user="responder", groups=["system:masters"])
    await scaled(process.kubeconfig_of(tmp_path / "kubeconfig", token))
    assert process.get("Deployment", "shop", "web")["spec"]["replicas"] == 3
    assert process.do("pods", namespace="shop")[0]["status"]["phase"] == "Running"
    with pytest.raises(ValueError, match="no call"):
        process.do("dance")
    with pytest.raises(KeyError):
        process.get("Deployment", "shop", "nope")
    process.child.kill()
    entries = process.entries()
    assert [(entry.user, entry.resource, entry.how, entry.status) for entry in entries] == [
        ("responder", "deployments.apps/scale", "lost_reply", None)
    ]


async def scaled(kubeconfig: Path) -> None:
    await config.load_kube_config(str(kubeconfig))
    async with client.ApiClient() as api:
        with pytest.raises(aiohttp.ClientError):
            await client.AppsV1Api(api).patch_namespaced_deployment_scale(
                "web", "shop", {"spec": {"replicas": 3}}, _request_timeout=5
            )
