"""Reading from the peer: pages, selectors, watches, logs, metrics, discovery."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.bed.kube import Behaviour, Cluster, reads
from tests.bed.kube.manifests import deployment, template
from tests.bed.kube.store import Clock
from tests.bed.kube.talk import Talk, path, talking
from tests.bed.web import JsonObject


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(automatic=False, clock=Clock.still()) as running:
        running.apply(deployment(replicas=5))
        running.settled()
        yield running


@pytest.fixture
async def talk(cluster: Cluster) -> AsyncIterator[Talk]:
    async with talking(cluster) as session:
        yield session


def events(text: str) -> list[tuple[str, str]]:
    """Return (type, name) of what a watch saw."""
    read = [json.loads(line) for line in text.splitlines()]
    return [(one["type"], one["object"].get("metadata", {}).get("name", "")) for one in read]


def config(name: str, labels: JsonObject | None = None) -> JsonObject:
    meta = {"name": name, "namespace": "shop", "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


async def test_pages_show_the_list_as_it_was(cluster: Cluster, talk: Talk) -> None:
    first = await talk.get(path("pods"), limit="2")
    names = [one["metadata"]["name"] for one in first.body["items"]]
    cluster.delete("Pod", "shop", cluster.pods("shop")[-1]["metadata"]["name"], grace=0)
    cluster.settled()
    token = first.body["metadata"]["continue"]
    rest = await talk.get(path("pods"), **{"continue": token})
    assert len({*names, *(one["metadata"]["name"] for one in rest.body["items"])}) == 5
    assert rest.body["metadata"]["resourceVersion"] == first.body["metadata"]["resourceVersion"]
    cluster.store.compact()
    late = await talk.get(path("pods"), **{"continue": token})
    assert (late.status, late.reason) == (410, "Expired")


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("app=a", "1"),
        ("app!=a", "23"),
        ("app in (a,b)", "12"),
        ("app notin (a,b)", "3"),
        ("tier", "2"),
        ("!tier", "13"),
        ("app in (a,b),tier=x", "2"),
        ("", "123"),
    ],
)
async def test_labels_select(cluster: Cluster, talk: Talk, selector: str, found: str) -> None:
    cluster.apply([config("1", {"app": "a"}), config("2", {"app": "b", "tier": "x"}), config("3")])
    answer = await talk.get(path("cm"), labelSelector=selector)
    assert "".join(one["metadata"]["name"] for one in answer.body["items"]) == found


async def test_fields_select(cluster: Cluster, talk: Talk) -> None:
    node = cluster.pods("shop")[0]["spec"]["nodeName"]
    for selector in (f"spec.nodeName={node}", f"spec.nodeName={node},status.phase=Running"):
        answer = await talk.get("/api/v1/pods", fieldSelector=selector)
        assert {one["spec"]["nodeName"] for one in answer.body["items"]} == {node}
    assert (await talk.get(path("cm"), fieldSelector="data.x=1")).status == 400


async def test_a_watch_sees_what_comes_changes_and_goes(cluster: Cluster, talk: Talk) -> None:
    start = str(cluster.store.version)
    watch = asyncio.create_task(
        talk.get(path("cm"), watch="true", resourceVersion=start, timeoutSeconds="0.4", labelSelector="app=a")
    )
    cluster.apply([config("in", {"app": "a"}), config("out")])
    await asyncio.sleep(0)
    cluster.patch("ConfigMap", "shop", "out", {"metadata": {"labels": {"app": "a"}}})
    cluster.patch("ConfigMap", "shop", "in", {"data": {"x": "1"}})
    cluster.patch("ConfigMap", "shop", "out", {"metadata": {"labels": {"app": "b"}}})
    cluster.delete("ConfigMap", "shop", "in")
    seen = events((await watch).body)
    assert seen == [("ADDED", "in"), ("ADDED", "out"), ("MODIFIED", "in"), ("DELETED", "out"), ("DELETED", "in")]


async def test_a_long_watch_is_given_bookmarks(cluster: Cluster, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "_BOOKMARK", 0.05)
    start = str(cluster.store.version)
    query = {"watch": "true", "resourceVersion": start, "timeoutSeconds": "0.3", "allowWatchBookmarks": "true"}
    marks = [json.loads(line) for line in (await talk.get(path("cm"), **query)).body.splitlines()]
    assert {(one["type"], one["object"]["metadata"]["resourceVersion"]) for one in marks} == {("BOOKMARK", start)}


async def test_a_watch_that_is_too_old_is_told_so(cluster: Cluster, talk: Talk) -> None:
    cluster.store.compact()
    answer = await talk.get(path("pods"), watch="true", resourceVersion="5", timeoutSeconds="1")
    event = json.loads(answer.body)
    assert (answer.status, event["type"], event["object"]["code"], event["object"]["reason"]) == (
        200,
        "ERROR",
        410,
        "Expired",
    )


async def test_logs_are_chosen(cluster: Cluster, talk: Talk) -> None:
    name = cluster.pods("shop")[0]["metadata"]["name"]
    cluster.advance(100)
    cluster.log("shop", name, "one\ntwo")
    where = f"{path('pod', name)}/log"
    assert (await talk.get(where)).body == f"hello from {name}/c\none\ntwo\n"
    assert (await talk.get(where, tailLines="1")).body == "two\n"
    assert (await talk.get(where, sinceSeconds="50")).body == "one\ntwo\n"
    assert (await talk.get(where, tailLines="0")).body == ""
    for query in ({"previous": "true"}, {"container": "nope"}):
        assert (await talk.get(where, **query)).status == 400
    assert (await talk.get(where, tailLines="-1")).status == 422


@pytest.mark.parametrize(("after", "now", "before"), [(30, "run 1", "run 0"), (0, "run 1", "run 1")])
async def test_the_log_before_a_crash_is_kept(
    cluster: Cluster, talk: Talk, after: float, now: str, before: str
) -> None:
    bad = Behaviour.crashes(after=after, last_words="panic: disk full")
    cluster.images["shop:bad"] = replace(bad, log="run {restarts}")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}}
    cluster.apply({**pod, "spec": template("x", "shop:bad")["spec"]})
    cluster.advance(after + 1)
    where = f"{path('pod', 'p')}/log"
    assert (await talk.get(where)).body.splitlines()[0] == now  # while it waits, the run that has just ended
    previous = (await talk.get(where, previous="true")).body
    assert previous == f"{before}\npanic: disk full\n"


async def test_a_container_that_never_began_has_no_log(cluster: Cluster, talk: Talk) -> None:
    cluster.images["shop:bad"] = Behaviour.unpullable()
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}}
    cluster.apply({**pod, "spec": template("x", "shop:bad")["spec"]})
    cluster.settled()
    refused = await talk.get(f"{path('pod', 'p')}/log")
    assert (refused.status, "trying and failing to pull image" in refused.body["message"]) == (400, True)


async def test_a_container_must_be_named_when_there_are_several(cluster: Cluster, talk: Talk) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}}
    containers = [{"name": "a", "image": "x:1"}, {"name": "b", "image": "x:1"}]
    cluster.apply({**pod, "spec": {"containers": containers}})
    cluster.settled()
    refused = await talk.get(f"{path('pod', 'p')}/log")
    assert (refused.status, "choose one of: [a b]" in refused.body["message"]) == (400, True)
    assert (await talk.get(f"{path('pod', 'p')}/log", container="b")).body == "hello from p/b\n"


async def test_metrics_say_what_is_used(cluster: Cluster, talk: Talk) -> None:
    cluster.usage("shop", "web", cpu="250m", memory="64Mi")
    pods = await talk.get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods", labelSelector="app=web")
    assert [one["containers"][0]["usage"]["cpu"] for one in pods.body["items"]] == ["250m"] * 5
    nodes = await talk.get("/apis/metrics.k8s.io/v1beta1/nodes")
    assert sorted(one["usage"]["cpu"] for one in nodes.body["items"]) == ["250m", "500m", "500m"]


async def test_discovery_leads_to_every_resource(talk: Talk) -> None:
    groups = (await talk.get("/apis")).body["groups"]
    versions = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    for version in versions:
        listed = (await talk.get(version)).body["resources"]
        for resource in listed:
            if "list" in resource["verbs"]:
                assert (await talk.get(f"{version}/{resource['name']}")).status == 200
    deployments = next(
        one for one in (await talk.get("/apis/apps/v1")).body["resources"] if one["name"] == "deployments"
    )
    assert (deployments["kind"], deployments["namespaced"], deployments["shortNames"]) == (
        "Deployment",
        True,
        ["deploy"],
    )
    assert (await talk.get("/apis/nowhere.io/v1")).status == 404
