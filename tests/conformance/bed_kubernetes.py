"""The ``kubernetes.…`` actions on a cluster of the tests' own, whose controllers work only when they are told to."""

import copy
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import JsonValue

from responder.actions.kubernetes_rollout_restart import NOW, RESTARTED
from responder.clients.toolbox import ClusterSpec, Toolbox
from responder.domain.errors import Permanent, Temporary
from responder.domain.kubernetes import MARKER, place_of
from responder.domain.reconcilers import at
from tests.bed.kube.access import ADMINS, known
from tests.bed.kube.cluster import Cluster
from tests.bed.kube.images import Behaviour
from tests.bed.kube.store import Store
from tests.bed.web import JsonObject
from tests.conformance.action_bed import SECRET, Bed, BedKind, Shape
from tests.conformance.bed_cluster import NAMESPACE as SHOP

DEPLOYMENT, NODE, POD = f"eu/deployment/{SHOP}/web", "eu/node/node-1", f"eu/pod/{SHOP}/one"
STATEFULSET, DAEMONSET = f"eu/statefulset/{SHOP}/db", f"eu/daemonset/{SHOP}/agent"
CRONJOB = f"eu/cronjob/{SHOP}/nightly"
SYNCS = 2
"""How often the application has been synced when a test begins."""
APPLICATION = "eu/application/argocd/shop"
KINDS = (
    "Application",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "CronJob",
    "HorizontalPodAutoscaler",
    "Job",
    "Kustomization",
    "Node",
    "PersistentVolumeClaim",
)


def kube(name: str, target: str = DEPLOYMENT, *, binary: bool = False, **arguments: JsonValue) -> Shape:
    """Return a shape of ``kubernetes.NAME``; what shares the way through faults with another one is brief."""
    shape = Shape(f"kubernetes.{name}", arguments, target=target, binary=binary)
    return replace(shape, single=shape.kind.effect == "event", brief=True)


def thorough(shape: Shape) -> Shape:
    """Return a shape that goes through every fault."""
    return replace(shape, brief=False)


def argocd(name: str, **arguments: JsonValue) -> Shape:
    """Return a shape of ``argocd.NAME``."""
    shape = Shape(f"argocd.{name}", arguments, target=APPLICATION, brief=True)
    return replace(shape, single=shape.kind.effect == "event")


def flux(name: str, of: str) -> Shape:
    """Return a shape of ``flux.NAME``."""
    return Shape(f"flux.{name}", {}, target=f"eu/kustomization/flux-system/{of}", binary=True, brief=True)


SHAPES = {
    "scale by": thorough(kube("scale", by=2, max=10)),
    "scale by, bounded": kube("scale", by=20, max=4),
    "scale down": kube("scale", by=-1),
    "scale to": kube("scale", to=5),
    "scale a StatefulSet": kube("scale", STATEFULSET, by=1, max=10),
    "rollout_undo": thorough(kube("rollout_undo")),
    "rollout_undo to": kube("rollout_undo", to_revision=1),
    "rollout_undo a StatefulSet": kube("rollout_undo", STATEFULSET),
    "rollout_undo a DaemonSet to": kube("rollout_undo", DAEMONSET, to_revision=1),
    "rollout_restart": thorough(kube("rollout_restart")),
    "rollout_pause": kube("rollout_pause", binary=True),
    "rollout_resume": kube("rollout_resume", f"eu/deployment/{SHOP}/held", binary=True),
    "set_resources": kube("set_resources", container="c", limits={"cpu": "1", "memory": "1Gi"}),
    "annotate": kube("annotate", annotations={"example.com/on-hold": "yes"}),
    "patch": kube("patch", set={"/spec/minReadySeconds": 30}),
    "hpa": kube("hpa", f"eu/deployment/{SHOP}/scaled", min=3, max=9),
    "cordon": kube("cordon", NODE, binary=True),
    "uncordon": kube("uncordon", "eu/node/node-2", binary=True),
    "taint": kube("taint", NODE, key="example.com/disk", value="failing", effect="NoSchedule"),
    "suspend_cronjob": kube("suspend_cronjob", CRONJOB, binary=True),
    "expand_pvc": replace(kube("expand_pvc", f"eu/pvc/{SHOP}/data", to="20Gi"), single=False),
    "run_job": thorough(kube("run_job", CRONJOB)),
    "retry_job": kube("retry_job", f"eu/job/{SHOP}/broken"),
    "argocd rollback": argocd("rollback"),
    "argocd rollback to": argocd("rollback", to=1),
    "argocd sync": argocd("sync"),
    "flux suspend": flux("suspend", "shop"),
    "flux resume": flux("resume", "held"),
    "evict_pod": thorough(kube("evict_pod", POD)),
    "delete_pod": thorough(kube("delete_pod", POD)),
    "evict a pod of a Deployment": kube("evict_pod", DEPLOYMENT, pod="one"),
}
CONTAINER = {"name": "c", "image": "shop:3", "resources": {"limits": {"memory": "2Gi"}}}
EDITS: Mapping[str, dict[str, Any]] = {
    "scale": {"spec": {"replicas": 7}},
    "rollout_undo": {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}},
    "rollout_restart": {"spec": {"template": {"metadata": {"annotations": {"somebody": "was here"}}}}},
    "rollout_pause": {"spec": {"paused": True}},
    "rollout_resume": {"spec": {"paused": False}},
    "set_resources": {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}},
    "annotate": {"metadata": {"annotations": {"example.com/on-hold": "perhaps"}}},
    "patch": {"spec": {"minReadySeconds": 7}},
    "hpa": {"spec": {"minReplicas": 4}},
    "cordon": {"spec": {"unschedulable": True}},
    "uncordon": {"spec": {"unschedulable": False}},
    "taint": {"spec": {"taints": [{"key": "example.com/disk", "value": "slow", "effect": "NoSchedule"}]}},
    "suspend_cronjob": {"spec": {"suspend": True}},
    "expand_pvc": {"spec": {"resources": {"requests": {"storage": "30Gi"}}}},
    "run_job": {"spec": {"schedule": "0 4 * * *"}},
    "retry_job": {"spec": {"backoffLimit": 2}},
    "suspend": {"spec": {"suspend": True}},
    "resume": {"spec": {"suspend": False}},
    "rollback": {"spec": {"syncPolicy": {"automated": {"prune": True}}}},
    "sync": {"spec": {"project": "other"}},
}
"""What somebody else makes of what an action owns."""


def workload(kind: str, name: str, image: str, **spec: JsonValue) -> dict[str, Any]:
    """Return a manifest of two pods with one container; of a DaemonSet, of one on each node."""
    labels = {"app": name}
    container = {"name": "c", "image": image, "resources": {"limits": {"memory": "512Mi"}}}
    template = {"metadata": {"labels": dict(labels)}, "spec": {"containers": [container]}}
    count = {} if kind == "DaemonSet" else {"replicas": 2}
    body = {**count, "selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": SHOP}, "spec": body}


def manifests() -> list[dict[str, Any]]:
    """Return the world as it begins: two revisions of ``web``, and something for each action."""
    return [
        workload("Deployment", "web", "shop:1"),
        workload("Deployment", "held", "shop:1", paused=True),
        workload("Deployment", "scaled", "shop:1"),
        workload("StatefulSet", "db", "db:1", serviceName="db"),
        workload("DaemonSet", "agent", "agent:1"),
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "scaled", "namespace": SHOP},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"},
                "minReplicas": 2,
                "maxReplicas": 5,
            },
        },
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "nightly", "namespace": SHOP},
            "spec": {
                "schedule": "0 3 * * *",
                "jobTemplate": {
                    "spec": {
                        "template": {
                            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "shop:1"}]}
                        }
                    }
                },
            },
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "broken", "namespace": SHOP},
            "spec": {
                "backoffLimit": 0,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "shop:broken"}]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": SHOP},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
        },
        application("v1"),
        *(
            {
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
                "kind": "Kustomization",
                "metadata": {"name": name, "namespace": "flux-system"},
                "spec": {"interval": "10m", "path": "./shop", "prune": True, "suspend": name == "held"},
            }
            for name in ("shop", "held")
        ),
    ]


def application(revision: str) -> dict[str, Any]:
    """Return a manifest of an application that follows a revision by itself."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example.com/shop", "path": "deploy", "targetRevision": revision},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {"selfHeal": True}},
        },
    }


def pod(maker: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest of one more pod of a ReplicaSet."""
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": maker["metadata"]["name"],
        "uid": maker["metadata"]["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "one",
            "namespace": SHOP,
            "labels": {"app": "web"},
            "ownerReferences": [owner],
        },
        "spec": {"containers": [{"name": "c", "image": "shop:1"}]},
    }


@cache
def beginning() -> Store:
    """Return the store of a cluster as every test finds it; its objects are never changed in place."""
    cluster = Cluster(nodes=2, automatic=False)
    cluster.images["shop:broken"] = Behaviour.completes(exit_code=1)
    cluster.apply(manifests())
    cluster.settled()
    cluster.apply(workload("Deployment", "web", "shop:2"))
    cluster.apply(application("v2"))
    cluster.apply(workload("StatefulSet", "db", "db:2", serviceName="db"))
    cluster.apply(workload("DaemonSet", "agent", "agent:2"))
    cluster.settled()
    cluster.patch("Node", "", "node-2", {"spec": {"unschedulable": True}})
    cluster.apply(pod(cluster.every("ReplicaSet", "shop")[-1]))
    return cluster.store


def begin(cluster: Cluster) -> None:
    """Let a cluster be as every test finds it."""
    start = beginning()
    cluster.store.objects.update({resource: dict(found) for resource, found in start.objects.items()})
    cluster.store.version = max(start.version, cluster.store.version)


class KubernetesBed(Bed):
    """The cluster, with what one shape works on."""

    landing = ("lost_reply", "applied_error", "applied_hang")
    losing = ("503", "reset", "hang")
    refusals = {"409": Temporary, "429": Temporary, "403": Permanent, "422": Permanent}  # noqa: RUF012 - never written
    telling: ClassVar[tuple[str, ...]] = ("", "403", "503", "reset")
    unreadable: ClassVar[tuple[str, ...]] = ("503", "reset", "404")

    def __init__(self, cluster: Cluster, shape: Shape, kubeconfig: Path) -> None:
        self.cluster = cluster
        self.action = shape.action.partition(".")[2]
        self.place = place_of(POD if "pod" in shape.action else shape.target)
        title = "HorizontalPodAutoscaler" if self.action == "hpa" else self.place.kind.title
        self.object = (title, self.place.namespace, self.place.name)
        self.tools, self.hasty = (
            Toolbox({}, {}, clusters={"eu": ClusterSpec(kubeconfig, timeout=timedelta(seconds=seconds))})
            for seconds in (10.0, 0.4)
        )

    async def world(self) -> JsonValue:
        self._sync()
        objects: list[JsonValue] = [plain(one) for kind in KINDS for one in self.cluster.every(kind)]
        pods: list[JsonValue] = [
            [one["metadata"]["name"], one["metadata"]["uid"], going(one)] for one in self.cluster.every("Pod")
        ]
        return [objects, pods]

    async def changes(self) -> int:
        return len(self.cluster.ledger.effects())

    def _sync(self) -> None:
        """Let Argo CD come to rest: it works in the background, as it does in a cluster."""
        if self.place.kind.word == "application":
            self.cluster.settled()

    async def holds(self, image: JsonValue) -> bool:
        self._sync()
        found = self.cluster.find(*self.object)
        assert isinstance(image, dict)
        if self.action in {"evict_pod", "delete_pod"}:
            return found is None or going(found)
        assert found is not None
        if self.action in {"run_job", "retry_job"}:
            return len([one for one in self.cluster.every("Job") if _marked(one)]) == 1
        if self.action == "sync":
            return len(found["status"]["history"]) == SYNCS + 1
        return all(_seen(found, name) == (value or None) for name, value in image.items() if name not in _BESIDE)

    async def fault(self, kind: str) -> None:
        self.cluster.fault(kind)

    async def unread(self, kind: str) -> None:
        self.cluster.fault(kind, on="read")

    async def heal(self) -> None:
        self.cluster.faults.clear()

    async def edit_owned(self) -> None:
        if self.action not in EDITS:
            one = self.cluster.get(*self.object)
            manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": one["spec"]}
            manifest["metadata"] = {name: one["metadata"][name] for name in ("name", "namespace", "ownerReferences")}
            self.cluster.delete(*self.object, grace=0)
            self.cluster.apply(manifest)
            return
        self.cluster.patch(*self.object, copy.deepcopy(EDITS[self.action]))

    async def edit_beside(self) -> None:
        self.cluster.patch(*self.object, {"metadata": {"labels": {"colour": "red"}}})

    async def stall(self) -> None:
        self.cluster.fault("slow", after_ms=10_000)

    async def used_credentials(self) -> bool:
        return {entry.user for entry in self.cluster.ledger.entries} == {"responder"}


_BESIDE = frozenset({"back_to", "controllerrevision", "replicaset"})
_PLACES: Mapping[str, tuple[str, ...]] = {
    "replicas": ("spec", "replicas"),
    "paused": ("spec", "paused"),
    "suspend": ("spec", "suspend"),
    "revision": ("status", "sync", "revision"),
    "automated": ("spec", "syncPolicy", "automated"),
    "storage": ("spec", "resources", "requests", "storage"),
    "unschedulable": ("spec", "unschedulable"),
    "min": ("spec", "minReplicas"),
    "max": ("spec", "maxReplicas"),
    "example.com/on-hold": ("metadata", "annotations", "example.com/on-hold"),
    "/spec/minReadySeconds": ("spec", "minReadySeconds"),
}


def _seen(found: JsonObject, name: str) -> JsonValue:
    """Return what an image calls ``name``, from the object itself."""
    if name == "taint":
        taints = {one["key"]: one.get("value", "") for one in found["spec"].get("taints", ())}
        return taints.get("example.com/disk")
    if name in {"images", "limits", "requests"}:
        container = found["spec"]["template"]["spec"]["containers"][0]
        amounts = container["resources"].get(name, {})
        return {"c": container["image"]} if name == "images" else {one: amounts.get(one) for one in ("cpu", "memory")}
    if name == "restarted_at":
        return NOW if at(found, *RESTARTED) else None
    return at(found, *_PLACES[name]) or None


def plain(one: JsonObject) -> JsonObject:
    """Return an object without what the server and our marker add, and without what is empty."""
    kept = copy.deepcopy(one)
    for name in ("resourceVersion", "generation", "managedFields"):
        kept["metadata"].pop(name, None)
    kept.pop("status", None)
    kept["metadata"].get("annotations", {}).pop(MARKER, None)
    return _full(kept)  # type: ignore[no-any-return]  # an object stays one


def _full(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        inner = {name: _full(one) for name, one in value.items()}
        return {name: one for name, one in inner.items() if one or (one == 0 and one is not False)}
    return [_full(one) for one in value] if isinstance(value, list) else value


def _marked(one: JsonObject) -> bool:
    return MARKER in one["metadata"].get("annotations", {})


def going(one: JsonObject) -> bool:
    """Whether an object is on its way out."""
    return "deletionTimestamp" in one["metadata"]


@asynccontextmanager
async def opened(request: pytest.FixtureRequest, shape: Shape) -> AsyncIterator[Bed]:
    """Open a bed in a cluster of its own."""
    async with Cluster(nodes=0, automatic=shape.action.startswith("argocd")) as cluster:
        begin(cluster)
        cluster.access.tokens[SECRET] = known("responder", ADMINS)
        path = request.getfixturevalue("tmp_path") / "kubeconfig"
        bed = KubernetesBed(cluster, shape, cluster.kubeconfig(path, SECRET))
        yield bed
        await bed.tools.close()
        await bed.hasty.close()


KIND = BedKind(SHAPES, KubernetesBed, opened)
