"""``crash`` on a cluster: every Kubernetes action, killed at every point. The judge is the API server's own ledger.

A case has an object of its own, named after it. Controllers work meanwhile, so versions move on under every plan.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from responder.domain.kubernetes import KINDS, MARKER
from tests.attack.crash import Manner, OutsideWard, Result, whole
from tests.attack.lives import launcher, victim
from tests.attack.scenarios import Scenario
from tests.attack.wards import NO_UNDO, UNDONE, playbook, scenario, step
from tests.bed.kube.ledger import Entry, effects
from tests.bed.kube.process import ClusterProcess, cluster_process
from tests.bed.target_process import target_process
from tests.bed.web import JsonObject
from tests.conformance.bed_kubernetes import application, workload

PREFIX = "kube-"
BROKEN = "shop:broken"
"""An image whose containers fail at once."""
LASTS = "shop:lasts"
"""An image whose containers run for a moment; what waits for their end has to look again."""
_MOMENT = 0.3
POD = "-0"
"""How the first pod of a StatefulSet is called behind its name."""
_DRAIN = """\
  - id: cordon
    retries: 8
    kubernetes.cordon: {}
  - id: move
    retries: 8
    items:
      probe: kubernetes.pods
      with:
        of: "node/{{ labels.item }}"
        read: movable
      max: 4
    kubernetes.evict_pod:
      pod: "{{ item.namespace }}/{{ item.name }}"
      alone: true
    undo: none
    verify:
      - name: nothing waits for room
        probe: kubernetes.pods
        with:
          of: "node/{{ labels.item }}"
          read: unplaced
        equals: 0
        within: 250ms
"""
"""A drain is a list (decision 34): the cordon is undone, and who has gone has gone."""
_PATIENT = "timeout: 2m\n    "
"""Of a step that waits: who dies meanwhile is not to be too late for the end."""
_ON_NODE = ("a", "b")
"""The pods that a drain finds, behind the node's name."""


@dataclass(frozen=True, slots=True)
class Deed:
    """An action with its arguments, and the kind of what it changes; ``event`` is one that cannot be undone.

    ``steps`` are written out where one action is not all; ``lasting`` is how many of their effects stay in any case.
    What ``fails`` has begun something that ends badly: its run is not kept.
    """

    action: str
    arguments: Mapping[str, JsonValue]
    kind: str = "deployment/shop"
    event: bool = False
    family: str = "kubernetes"
    steps: str = ""
    lasting: int = 0
    fails: bool = False

    @property
    def full(self) -> str:
        """Return the action as playbooks name it."""
        return f"{self.family}.{self.action}"

    @property
    def waits(self) -> bool:
        """Say whether the step is over only when what it has begun has ended."""
        return bool(self.arguments.get("wait"))

    @property
    def name(self) -> str:
        """Return what its scenarios are called after: the action, and the kind where others have it, too."""
        word = self.kind.partition("/")[0]
        if self.waits:
            return f"{self.action}-{'fails' if self.fails else 'wait'}"
        if self.steps:
            return "drain"
        if self.family == "flux":
            return f"flux_{self.action}"
        return f"{self.action}-{word}" if self.action == "rollout_undo" else self.action

    @property
    def as_steps(self) -> str:
        """Return it as a playbook has it."""
        more = (NO_UNDO if self.event else "") + (_PATIENT if self.waits else "")
        return self.steps or step(f"{more}{self.full}: {json.dumps(dict(self.arguments))}\n", retries=8)


_LIMITS: JsonObject = {"cpu": "1", "memory": "1Gi"}
DEEDS: Mapping[str, Deed] = {
    one.name: one
    for one in (
        Deed("rollback", {}, "application/argocd", family="argocd"),
        Deed("sync", {}, "application/argocd", event=True, family="argocd"),
        Deed("scale", {"by": 2, "max": 10}),
        Deed("rollout_undo", {}),
        Deed("rollout_undo", {}, "statefulset/shop"),
        Deed("rollout_undo", {}, "daemonset/shop"),
        Deed("rollout_restart", {}, event=True),
        Deed("rollout_pause", {}),
        Deed("rollout_resume", {}),
        Deed("set_resources", {"container": "c", "limits": _LIMITS}),
        Deed("annotate", {"annotations": {"example.com/on-hold": "yes"}}),
        Deed("patch", {"set": {"/spec/minReadySeconds": 30}}),
        Deed("hpa", {"min": 3, "max": 9}),
        Deed("cordon", {}, "node"),
        Deed("uncordon", {}, "node"),
        Deed("taint", {"key": "example.com/disk", "value": "failing", "effect": "NoSchedule"}, "node"),
        Deed("suspend_cronjob", {}, "cronjob/shop"),
        Deed("expand_pvc", {"to": "20Gi"}, "pvc/shop", event=True),
        Deed("run_job", {}, "cronjob/shop", event=True),
        Deed("run_job", {"wait": True}, "cronjob/shop", event=True),
        Deed("run_job", {"wait": True}, "cronjob/shop", event=True, fails=True),
        Deed("retry_job", {}, "job/shop", event=True),
        Deed("retry_job", {"wait": True}, "job/shop", event=True),
        Deed("evict_pod", {}, "pod/shop", event=True),
        Deed("delete_pod", {}, "pod/shop", event=True),
        Deed("suspend", {}, "kustomization/flux-system", family="flux"),
        Deed("resume", {}, "kustomization/flux-system", family="flux"),
        Deed("cordon", {}, "node", steps=_DRAIN, lasting=len(_ON_NODE)),
    )
}
"""At least one for each action on a cluster; a test holds that none is missing."""


def _deed(scenario: str) -> Deed:
    return DEEDS[scenario.removeprefix(PREFIX).removesuffix(UNDONE).removesuffix("-kept")]


def _scenarios() -> Iterator[Scenario]:
    for name, deed in DEEDS.items():
        partly = "partly_rolled_back" if deed.lasting or deed.fails else ""
        if deed.fails:
            yield scenario(f"{PREFIX}{name}", end=partly)
            continue
        yield scenario(f"{PREFIX}{name}-kept")
        if not deed.event:
            yield scenario(f"{PREFIX}{name}{UNDONE}", end=partly)


SCENARIOS = tuple(_scenarios())


@dataclass(slots=True)
class ClusterWard(OutsideWard):
    """A victim whose target is an object of a cluster."""

    cluster: ClusterProcess | None = None
    _begun: JsonValue = None

    def _prepare(self, scenario: Scenario) -> str:
        assert self.cluster is not None
        deed = _deed(scenario.name)
        item = f"item-{self.label}-{next(self._numbers)}{POD if deed.kind.startswith('pod') else ''}"
        self._begun = _begin(self.cluster, deed, item)
        self.victim.prefix = f"eu/{deed.kind}"
        return item

    def _landed(self, scenario: Scenario, name: str, item: str) -> None:
        assert self.cluster is not None
        deed, entries = _deed(scenario.name), self.cluster.entries()
        made = [one for one in effects(entries, "jobs.batch") if one.name.startswith(f"{item}-")]
        gone = [one for one in effects(entries, "pods") if one.name.startswith(f"{item}-")] if deed.lasting else []
        landed = [*effects(entries, name=item), *made, *gone]  # only what came over HTTP: from the responder
        self._judge(name, scenario, landed, self._begun != _image(self.cluster, deed, item))
        if deed.waits:
            self._waited(name, item, "failed" if deed.fails else "well")
        _end(self.cluster, deed, item)

    def _waited(self, name: str, item: str, wanted: str) -> None:
        """The step has seen how the Job ended, whoever has died in between."""
        records = [one for run in self.victim.runs(item) for one in self.victim.items(f"records?run={run['id']}")]
        seen = [(one["observed"] or {}).get("ended") for one in records]
        if seen != [wanted]:
            self.result.findings.violations.append(f"{name}: its Job was seen to end {seen} instead of {[wanted]}")

    def _judge(self, name: str, scenario: Scenario, landed: Sequence[Entry], changed: bool) -> None:  # noqa: FBT001 - what was found
        """Each effect once, as many as the scenario has, and the object as it is to be."""
        found, undone = self.result.findings, scenario.name.endswith(UNDONE)
        wanted = (2 if undone else 1) + _deed(scenario.name).lasting
        keys = Counter(filter(None, map(_key, landed)))
        if len(landed) > wanted or any(count > 1 for count in keys.values()):
            found.repeated.append(f"{name}: {len(landed)} effects instead of {wanted}: {dict(keys)}")
        elif len(landed) < wanted:
            found.lost.append(f"{name}: {len(landed)} effects instead of {wanted}: {dict(keys)}")
        elif changed == undone:
            found.violations.append(f"{name}: the object is {'changed' if changed else 'as before'}")


def _key(entry: Entry) -> str:
    """Return under which key an effect was made; what only happens has none."""
    annotations = (entry.after or {}).get("metadata", {}).get("annotations") or {}
    return str(annotations.get(MARKER, ""))


def _begin(cluster: ClusterProcess, deed: Deed, item: str) -> JsonValue:
    """Make the object of a case and return what it holds."""
    if deed.kind == "node":
        cluster.do("add_node", name=item)
        if deed.action == "uncordon":
            cluster.do("patch", kind="Node", namespace="", name=item, body={"spec": {"unschedulable": True}})
        for name in _ON_NODE if deed.steps else ():
            cluster.do("apply", manifest=_pod(f"{item}-{name}", item))
    else:
        cluster.image(LASTS, exit_after=0.0, exit_code=1)  # a Job that is retried has failed
        for manifest in _manifests(deed, item):
            cluster.do("apply", manifest=manifest)
            cluster.do("settled")
        cluster.image(LASTS, exit_after=_MOMENT, exit_code=int(deed.fails))
    cluster.do("settled")
    return _image(cluster, deed, item)


def _pod(name: str, node: str) -> JsonObject:
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "shop:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def _manifests(deed: Deed, item: str) -> Iterator[JsonObject]:
    container: JsonObject = {"name": "c", "image": LASTS if deed.waits else "shop:1"}
    if deed.kind.startswith("cronjob"):
        template: JsonObject = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        yield {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": item, "namespace": "shop"},
            "spec": {"schedule": "0 3 1 1 *", "jobTemplate": {"spec": {"backoffLimit": 0, "template": template}}},
        }
    elif deed.kind.startswith("job"):
        broken = {"name": "c", "image": LASTS if deed.waits else BROKEN}
        failing: JsonObject = {"spec": {"restartPolicy": "Never", "containers": [broken]}}
        yield {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": item, "namespace": "shop"},
            "spec": {"backoffLimit": 0, "template": failing},
        }
    elif deed.kind.startswith("pvc"):
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": item, "namespace": "shop"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
        }
    elif deed.kind.startswith("application"):
        for revision in ("v1", "v2"):
            manifest = application(revision)
            yield manifest | {"metadata": {"name": item, "namespace": "argocd"}}
    elif deed.family == "flux":
        yield {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": item, "namespace": "flux-system"},
            "spec": {"interval": "10m", "path": "./shop", "prune": True, "suspend": deed.action == "resume"},
        }
    elif deed.kind.startswith("pod"):
        yield workload("StatefulSet", item.removesuffix(POD), "shop:1", serviceName="x", replicas=1)
    else:
        kind = _where(deed)[0].replace("HorizontalPodAutoscaler", "Deployment")
        more = {"paused": True} if deed.action == "rollout_resume" else {}
        yield workload(kind, item, "shop:1", **more)
        if deed.action == "rollout_undo":
            yield workload(kind, item, "shop:2")
        if deed.action == "hpa":
            reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": item}
            yield {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": item, "namespace": "shop"},
                "spec": {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 5},
            }


def _where(deed: Deed) -> tuple[str, str]:
    """Return the kind and the namespace of what is changed."""
    if deed.action == "hpa":
        return "HorizontalPodAutoscaler", "shop"
    titles = {word: kind.title for word, kind in KINDS.items()}
    word, _, namespace = deed.kind.partition("/")
    return titles[word], namespace


def _image(cluster: ClusterProcess, deed: Deed, item: str) -> JsonValue:
    """Return what people decide about an object: not its status, nor what controllers and we write beside it."""
    kind, namespace = _where(deed)
    if deed.action in {"run_job", "retry_job"}:
        return len([one for one in _jobs(cluster) if str(one["metadata"]["name"]).startswith(f"{item}-")])
    try:
        found: Any = cluster.get(kind, namespace, item)
    except KeyError:
        return None
    if deed.kind.startswith("pod"):
        return {"uid": found["metadata"]["uid"], "leaving": "deletionTimestamp" in found["metadata"]}
    spec = {name: value for name, value in found["spec"].items() if value not in (False, [], None)}
    if deed.kind == "node":  # its controller taints it by itself
        taints = [one for one in spec.pop("taints", []) if not one["key"].startswith("node.kubernetes.io/")]
        return {"spec": spec, "taints": taints}
    return _of_spec(deed, found, spec)


def _of_spec(deed: Deed, found: JsonObject, spec: JsonObject) -> JsonValue:
    if deed.family == "argocd":
        done = found["status"]["history"]
        times = {"syncs": len(done)} if deed.event else {}
        return {"revision": done[-1]["revision"], "automated": spec["syncPolicy"].get("automated"), **times}
    if deed.action == "rollout_undo":
        return {"image": spec["template"]["spec"]["containers"][0]["image"]}
    noted = found["metadata"].get("annotations") or {}
    return {"spec": spec, "on hold": noted.get("example.com/on-hold")}


def _jobs(cluster: ClusterProcess) -> list[JsonObject]:
    found: Any = cluster.do("every", kind="Job", namespace="shop")
    return list(found)


def _end(cluster: ClusterProcess, deed: Deed, item: str) -> None:
    """Take a case's objects away: controllers look at all that there are."""
    kind, namespace = _where(deed)
    kinds = {"Pod": ["StatefulSet"], "HorizontalPodAutoscaler": [kind, "Deployment"]}.get(kind, [kind])
    name = item.removesuffix(POD) if kind == "Pod" else item
    for one in kinds:
        cluster.do("delete", kind=one, namespace=namespace, name=name)


def campaign(urls: Sequence[tuple[str, str]], manner: Manner, only: Sequence[str] = ()) -> Result:
    """Play the scenarios on each (label, store), one store after the other: they share the cluster."""
    chosen = [one for one in SCENARIOS if not only or one.name in only]
    total = Result()
    if not chosen:
        return total
    with cluster_process(nodes=1) as cluster:
        cluster.image(BROKEN, exit_after=0.0, exit_code=1)
        for label, url in urls:
            with ward(f"kube-{label}", url, cluster) as one:
                total.add(whole(one, chosen, manner))
    return total


@contextlib.contextmanager
def ward(label: str, store: str, cluster: ClusterProcess) -> Iterator[ClusterWard]:
    """Give a victim on ``store`` that may do everything in the cluster."""
    deeds = {one.name: _deed(one.name) for one in SCENARIOS}
    playbooks = {f"{name}.yaml": playbook(name, deed.kind, deed.as_steps) for name, deed in deeds.items()}
    settings = {"kubernetes": {"clusters": {"eu": {"kubeconfig": str(cluster.kubeconfig)}}}}
    with (
        launcher() as forks,
        target_process() as target,
        victim(store, target.url, forks, playbooks=playbooks, settings=settings) as hurt,
    ):
        yield ClusterWard(label, hurt, target, cluster=cluster)
