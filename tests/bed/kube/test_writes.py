"""Writing to the peer: versions, dry runs, generations, deletion, quotas; what the recording does not show."""

from collections.abc import AsyncIterator

import pytest

from tests.bed.kube import Cluster
from tests.bed.kube.kinds import Json
from tests.bed.kube.manifests import budget, deployment, template, workload
from tests.bed.kube.patches import APPLY, JSON, STRATEGIC
from tests.bed.kube.store import Clock
from tests.bed.kube.talk import Talk, path, talking
from tests.bed.web import JsonObject

WEB = path("deploy", "web")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(automatic=False, clock=Clock.still()) as running:
        running.apply(deployment())
        running.settled()
        yield running


@pytest.fixture
async def talk(cluster: Cluster) -> AsyncIterator[Talk]:
    async with talking(cluster) as session:
        yield session


def spec(cluster: Cluster) -> JsonObject:
    found: JsonObject = cluster.get("Deployment", "shop", "web")["spec"]
    return found


async def test_a_version_is_a_precondition_of_a_patch(cluster: Cluster, talk: Talk) -> None:
    stale = cluster.get("Deployment", "shop", "web")["metadata"]["resourceVersion"]
    assert (await talk.patch(WEB, {"spec": {"replicas": 3}})).status == 200
    refused = await talk.patch(WEB, {"metadata": {"resourceVersion": stale}, "spec": {"replicas": 4}})
    assert (refused.status, refused.reason, spec(cluster)["replicas"]) == (409, "Conflict", 3)
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": stale},
        {"op": "replace", "path": "/spec/replicas", "value": 5},
    ]
    assert (await talk.patch(WEB, operations, JSON)).status == 422
    assert spec(cluster)["replicas"] == 3


@pytest.mark.parametrize("sub", ["", "/scale"])
async def test_a_dry_run_shows_and_changes_nothing(cluster: Cluster, talk: Talk, sub: str) -> None:
    before = cluster.store.version
    shown = await talk.patch(WEB + sub, {"spec": {"replicas": 9}}, dryRun="All")
    assert (shown.status, shown.body["spec"]["replicas"], spec(cluster)["replicas"]) == (200, 9, 2)
    assert (await talk.send("DELETE", WEB, query={"dryRun": "All"})).status == 200
    assert cluster.store.version == before
    assert [(entry.dry_run, entry.applied, entry.changed) for entry in cluster.ledger.entries] == [
        (True, False, False)
    ] * 2


async def test_writing_what_is_there_already_makes_no_new_version(cluster: Cluster, talk: Talk) -> None:
    first = await talk.patch(WEB, {"spec": {"replicas": 2}})
    again = await talk.patch(WEB, {"spec": {"replicas": 2}})
    assert first.body["metadata"]["resourceVersion"] == again.body["metadata"]["resourceVersion"]
    assert cluster.ledger.entries[-1].changed is False


async def test_a_generation_counts_changes_of_what_is_wanted_only(cluster: Cluster, talk: Talk) -> None:
    async def generation(patch: JsonObject) -> int:
        answer = await talk.patch(WEB, patch)
        assert answer.status == 200
        found: int = answer.body["metadata"]["generation"]
        return found

    assert await generation({"metadata": {"labels": {"team": "a"}}}) == 1
    assert await generation({"status": {"replicas": 99}}) == 1
    assert cluster.get("Deployment", "shop", "web")["status"]["replicas"] == 2
    assert await generation({"spec": {"replicas": 3}}) == 2


async def test_status_is_written_through_its_subresource_only(cluster: Cluster, talk: Talk) -> None:
    pod = cluster.pods("shop")[0]["metadata"]["name"]
    answer = await talk.patch(path("pod", pod) + "/status", {"status": {"message": "x"}, "spec": {"nodeName": "y"}})
    assert (answer.status, answer.body["status"]["message"]) == (200, "x")
    assert answer.body["spec"]["nodeName"].startswith("node-")


async def test_scaling_beyond_sense_is_refused(talk: Talk) -> None:
    for replicas, status in ((-1, 422), ("three", 400), (0, 200)):
        answer = await talk.patch(f"{WEB}/scale", {"spec": {"replicas": replicas}})
        assert (answer.status, "Deployment" in str(answer.body)) == (status, False)  # it is the Scale that is wrong
    assert "replicas" not in (await talk.get(f"{WEB}/scale")).body["spec"]  # as Go writes a zero


async def test_strategic_patches_delete_by_name_and_keep_the_rest(cluster: Cluster, talk: Talk) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
    await talk.patch(WEB, patch, STRATEGIC)
    assert [one["name"] for one in spec(cluster)["template"]["spec"]["containers"]] == ["c", "side"]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "$patch": "delete"}]}}}}
    await talk.patch(WEB, patch, STRATEGIC)
    assert [one["name"] for one in spec(cluster)["template"]["spec"]["containers"]] == ["side"]


async def test_custom_resources_take_no_strategic_patch(cluster: Cluster, talk: Talk) -> None:
    app = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a", "namespace": "shop"}}
    cluster.apply({**app, "spec": {"syncPolicy": {"automated": {"prune": True}}}})
    where = path("applications", "a")
    assert (await talk.patch(where, {"spec": {"x": 1}}, STRATEGIC)).status == 415
    answer = await talk.patch(where, {"spec": {"syncPolicy": {"automated": None}}})
    assert (answer.status, answer.body["spec"]) == (200, {"syncPolicy": {}})
    assert answer.body["metadata"]["generation"] == 2


async def test_apply_creates_owns_shares_and_gives_up(cluster: Cluster, talk: Talk) -> None:
    manifest = deployment("new", replicas=3)
    where = path("deploy", "new")
    assert (await talk.patch(where, manifest, APPLY, fieldManager="gitops")).status == 201
    assert (await talk.patch(f"{where}/scale", {"spec": {"replicas": 5}}, fieldManager="responder")).status == 200
    refused = await talk.patch(where, manifest, APPLY, fieldManager="gitops")
    assert (refused.status, refused.body["details"]["causes"][0]["field"]) == (409, ".spec.replicas")
    assert 'with subresource \\"scale\\"' in str(refused.body).replace('"', '\\"')
    del manifest["spec"]["replicas"]
    assert (await talk.patch(where, manifest, APPLY, fieldManager="gitops")).body["spec"]["replicas"] == 5


async def test_what_an_applier_no_longer_wants_goes(cluster: Cluster, talk: Talk) -> None:
    where = path("cm", "c")
    manifest: JsonObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"a": "1", "b": "2"},
    }
    await talk.patch(where, manifest, APPLY, fieldManager="one")
    await talk.patch(where, {**manifest, "data": {"b": "2"}}, APPLY, fieldManager="two")
    answer = await talk.patch(where, {**manifest, "data": {}}, APPLY, fieldManager="one")
    assert answer.body["data"] == {"b": "2"}  # the other one still wants it


async def test_a_patch_with_an_unknown_field_warns(talk: Talk) -> None:
    answer = await talk.patch(WEB, {"spec": {"replica": 3}})
    assert (answer.status, answer.headers["Warning"]) == (200, '299 - "unknown field \\"spec.replica\\""')
    assert (await talk.patch(WEB, {"spec": {"replica": 3}}, fieldValidation="Strict")).status == 400
    assert "Warning" not in (await talk.patch(WEB, {"spec": {"replica": 3}}, fieldValidation="Ignore")).headers


async def test_a_value_of_a_wrong_type_is_a_bad_request(talk: Talk) -> None:
    answer = await talk.patch(WEB, {"spec": {"replicas": "3"}})
    assert (answer.status, answer.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("kind", "change", "status"),
    [
        ("deploy", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": "half"}}}}, 422),
        ("deploy", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": []}}}}, 400),
        ("deploy", {"spec": {"template": {"spec": {"containers": [{"name": "c", "resources": {"limits": 1}}]}}}}, 400),
        ("deploy", {"metadata": {"annotations": {"limits.cpu": "none", "averageValue": "a lot"}}}, 200),
        ("pdb", {"spec": {"minAvailable": 1}}, 422),
        ("pdb", {"spec": {"maxUnavailable": -1}}, 422),
        ("node", {"spec": {"taints": [{"key": "a"}]}}, 422),
        ("node", {"spec": {"taints": [{"key": "a", "effect": "NoWay"}]}}, 422),
        ("node", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, 200),
        ("quota", {"spec": {"hard": {"requests.cpu": "much"}}}, 400),
        ("quota", {"spec": {"hard": {"requests.cpu": 2}}}, 200),
    ],
)
async def test_values_are_checked(cluster: Cluster, talk: Talk, kind: str, change: JsonObject, status: int) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "web", "namespace": "shop"}}
    cluster.apply([budget(maxUnavailable=1), quota])
    cluster.add_node("web")
    assert (await talk.patch(path(kind, "web"), change, STRATEGIC)).status == status
    cluster.settled()


@pytest.mark.parametrize("body", ["x", [], {"gracePeriodSeconds": "soon"}, {"preconditions": "none"}])
async def test_strange_options_of_a_delete_are_refused(talk: Talk, body: Json) -> None:
    assert (await talk.send("DELETE", WEB, body)).status == 400


async def test_deletes_obey_their_preconditions(cluster: Cluster, talk: Talk) -> None:
    pod = cluster.pods("shop")[0]["metadata"]
    where = path("pod", pod["name"])
    stale = {"preconditions": {"uid": pod["uid"], "resourceVersion": "1"}}
    assert (await talk.send("DELETE", where, stale)).status == 409
    right = {"preconditions": {"uid": pod["uid"], "resourceVersion": pod["resourceVersion"]}}
    gone = await talk.send("DELETE", where, right)
    assert (gone.status, gone.body["metadata"]["deletionGracePeriodSeconds"]) == (200, 30)
    cluster.settled()
    assert (await talk.get(where)).status == 404
    assert len(cluster.pods("shop")) == 2  # another has come in its place


@pytest.mark.parametrize(("policy", "left"), [("Background", 0), ("Foreground", 0), ("Orphan", 2)])
async def test_what_becomes_of_dependents_is_chosen(cluster: Cluster, talk: Talk, policy: str, left: int) -> None:
    await talk.send("DELETE", WEB, {"propagationPolicy": policy})
    cluster.settled()
    assert cluster.find("Deployment", "shop", "web") is None
    assert len(cluster.pods("shop")) == left


async def test_finalizers_keep_what_is_deleted(cluster: Cluster, talk: Talk) -> None:
    cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop", "finalizers": ["x/y"]}}
    )
    assert (await talk.send("DELETE", path("cm", "c"))).body["metadata"]["deletionTimestamp"]
    assert cluster.find("ConfigMap", "shop", "c") is not None
    await talk.patch(path("cm", "c"), {"metadata": {"finalizers": None}})
    assert cluster.find("ConfigMap", "shop", "c") is None


async def test_a_deleted_namespace_takes_everything_along(cluster: Cluster, talk: Talk) -> None:
    assert (await talk.send("DELETE", "/api/v1/namespaces/shop")).body["status"]["phase"] == "Terminating"
    cluster.settled()
    assert cluster.find("Namespace", "", "shop") is None
    assert [cluster.every(kind, "shop") for kind in ("Pod", "Deployment", "ServiceAccount")] == [[], [], []]


async def test_a_quota_stops_creation(cluster: Cluster, talk: Talk) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "shop"}}
    cluster.apply({**quota, "spec": {"hard": {"pods": "2"}}})
    cluster.settled()
    assert cluster.get("ResourceQuota", "shop", "q")["status"]["used"] == {"pods": "2"}
    pod = {"metadata": {"name": "more"}, "spec": template("x", "x:1")["spec"]}
    refused = await talk.send("POST", path("pods"), pod)
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2" in refused.body["message"]
    await talk.patch(f"{WEB}/scale", {"spec": {"replicas": 3}})
    cluster.settled()
    conditions = cluster.get("Deployment", "shop", "web")["status"]["conditions"]
    assert ("ReplicaFailure", "FailedCreate") in [(one["type"], one["reason"]) for one in conditions]


async def test_evictions_ask_the_budget_and_spend_it(cluster: Cluster, talk: Talk) -> None:
    cluster.apply(budget(maxUnavailable=1))
    first, second = (pod["metadata"]["name"] for pod in cluster.pods("shop"))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction"}
    unseen = await talk.send("POST", f"{path('pod', first)}/eviction", eviction)
    assert (unseen.status, "still being processed" in str(unseen.body)) == (429, True)
    assert (unseen.headers["Retry-After"], unseen.body["details"]["retryAfterSeconds"]) == ("10", 10)
    cluster.settled()
    trial = {**eviction, "deleteOptions": {"dryRun": ["All"]}}
    assert (await talk.send("POST", f"{path('pod', first)}/eviction", trial)).status == 201
    assert cluster.ledger.effects() == []
    assert (await talk.send("POST", f"{path('pod', first)}/eviction", eviction)).status == 201
    assert [entry.resource for entry in cluster.ledger.effects()] == ["pods/eviction"]
    refused = await talk.send("POST", f"{path('pod', second)}/eviction", eviction)
    assert (refused.status, refused.body["details"]["causes"][0]["reason"]) == (429, "DisruptionBudget")
    assert "Retry-After" not in refused.headers
    cluster.settled()
    assert (await talk.send("POST", f"{path('pod', second)}/eviction", eviction)).status == 201


async def test_a_stateful_set_refuses_what_it_cannot_change(cluster: Cluster, talk: Talk) -> None:
    cluster.apply(workload("StatefulSet", "db"))
    refused = await talk.patch(path("sts", "db"), {"spec": {"serviceName": "other"}})
    assert (refused.status, refused.reason) == (422, "Invalid")
    assert (await talk.patch(path("sts", "db"), {"spec": {"replicas": 2}})).status == 200


async def test_a_pod_takes_a_new_image_and_nothing_else(cluster: Cluster, talk: Talk) -> None:
    where = path("pod", cluster.pods("shop")[0]["metadata"]["name"])
    assert (await talk.patch(where, {"metadata": {"labels": {"app": None, "quarantine": "yes"}}})).status == 200
    assert (await talk.patch(where, {"spec": {"restartPolicy": "Never"}})).status == 422
    answer = await talk.patch(where, [{"op": "replace", "path": "/spec/containers/0/image", "value": "shop:2"}], JSON)
    assert answer.status == 200
    cluster.settled()
    assert len(cluster.pods("shop", "web")) == 2  # the relabelled one was let go and replaced
    assert len(cluster.pods("shop")) == 3


async def test_secrets_are_encoded(cluster: Cluster, talk: Talk) -> None:
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}
    answer = await talk.send("POST", path("secrets"), secret)
    assert (answer.status, answer.body["data"], answer.body["type"]) == (201, {"password": "aHVudGVyMg=="}, "Opaque")
