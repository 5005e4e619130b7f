"""The beds of the Kubernetes actions: a cluster of ours for each test, or one that is not ours (`bed_cluster`)."""

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from pydantic import JsonValue

from responder.domain.kubernetes import place_of
from tests.bed.kube.cluster import Cluster
from tests.bed.web import JsonObject
from tests.conformance import bed_cluster, bed_kubernetes
from tests.conformance.action_bed import SECRET, Bed, BedKind, Shape
from tests.conformance.bed_cluster import NAMESPACE as SHOP
from tests.conformance.bed_kubernetes import POD, SHAPES, KubernetesBed, going, manifests, plain, pod


class RemoteBed(KubernetesBed):
    """A cluster that is not ours, as one shape needs it."""

    unreadable = ("503", "reset")
    telling = ("",)
    stalls = False

    def __init__(self, opened: bed_cluster.Opened, shape: Shape) -> None:
        self.remote, self.door = opened.remote, opened.door
        self.tools, self.hasty = opened.tools, opened.hasty
        self.cluster = cast("Cluster", opened.remote)  # what the bed asks of it, both have
        self.action = shape.action.partition(".")[2]
        self.place = place_of(POD if "pod" in shape.action else shape.target)
        title = "HorizontalPodAutoscaler" if self.action == "hpa" else self.place.kind.title
        self.object = (title, self.place.namespace, self.place.name)

    async def world(self) -> JsonValue:
        kinds = {self.object[0], "Job"} - {"Pod"}  # what an autoscaler scales is for it to change
        objects: list[JsonValue] = [
            bed_cluster.comparable(plain(one)) for kind in sorted(kinds) for one in self.remote.every(kind)
        ]
        pods = [one for one in self.remote.every("Pod") if one["metadata"]["name"] == "one" and not going(one)]
        return [objects, [one["metadata"]["uid"] for one in pods]]

    async def changes(self) -> int:
        return len(self.door.made)

    async def fault(self, kind: str) -> None:
        self.door.next, self.door.reads = kind, False

    async def unread(self, kind: str) -> None:
        self.door.next, self.door.reads = kind, True

    async def heal(self) -> None:
        self.door.next = ""

    async def used_credentials(self) -> bool:
        return True

    async def make(self) -> None:
        """Make what the shape works on, with an earlier revision of a workload."""
        title, _, name = self.object
        used = [one for one in manifests() if _here(one, self.place.name)]
        for one in (*self.remote.every("Job"), *used):
            await self.remote.gone(one.get("kind", "Job"), one["metadata"]["name"])
        if "pod" in self.action:
            await self._make_pod()
            return
        for one in used:
            self.remote.apply(one)
        if self.action == "rollout_undo":
            await self.remote.rest(title, name)
            found = copy.deepcopy(next(one for one in used if one["kind"] == title))
            found["spec"]["template"]["spec"]["containers"][0]["image"] += "2"
            self.remote.apply(found)
        await self.remote.rest(title, name)

    async def _make_pod(self) -> None:
        """Make a pod that something seems to have made, and that nothing else counts."""
        await self.remote.gone("Pod", "one")
        self.remote.apply(next(one for one in manifests() if _here(one, "web")))
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "maker", "namespace": SHOP}}
        made = self.remote.apply(body)
        manifest = pod({"metadata": {"name": "maker", "uid": made["metadata"]["uid"]}})
        manifest["metadata"]["ownerReferences"][0] |= {"apiVersion": "v1", "kind": "ConfigMap"}
        self.remote.apply(manifest)
        await self.remote.rest("Pod", "one")


def _here(manifest: JsonObject, name: str) -> bool:
    metadata = manifest["metadata"]
    return (metadata["namespace"], metadata["name"]) == (SHOP, name)


@asynccontextmanager
async def remotely(request: pytest.FixtureRequest, shape: Shape) -> AsyncIterator[Bed]:
    """Open a bed in the cluster that was given."""
    async with bed_cluster.connected(request.getfixturevalue("tmp_path"), SECRET) as opened:
        bed = RemoteBed(opened, shape)
        await bed.make()
        yield bed


def _remote(shape: Shape) -> bool:
    """Whether a shape may be tried on somebody's cluster, and needs no job of its own to have failed there."""
    return f"/{SHOP}/" in shape.target and shape.action not in {"kubernetes.expand_pvc", "kubernetes.retry_job"}


KIND = (
    BedKind({name: shape for name, shape in SHAPES.items() if _remote(shape)}, RemoteBed, remotely)
    if bed_cluster.GIVEN
    else bed_kubernetes.KIND
)
