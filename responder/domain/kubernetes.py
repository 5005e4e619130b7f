"""Kubernetes objects as targets: ``prod-eu/deployment/shop/api`` and where the API has them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from responder.domain.targets import SEPARATOR

MARKER: Final = "responder.dev/record"
"""The annotation that carries the key of the last effect of ours on an object."""
MANAGER: Final = "responder"
"""Our name in ``managedFields``."""
SYSTEM_NAMESPACE: Final = "kube-system"
"""Where a cluster keeps its own parts."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")  # RFC 1123, a DNS subdomain
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects: ``word`` is what targets call it, ``title`` what the API calls it."""

    word: str
    title: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The group and version as objects name them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", sub: str = "") -> str:
        """Return the path of an object, of those in a namespace, or of all."""
        parts = ["/apis", self.group] if self.group else ["/api"]
        parts.append(self.version)
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        return SEPARATOR.join(part for part in (*parts, self.plural, name, sub) if part)


_ALL = (
    Kind("application", "Application", "applications", "argoproj.io", "v1alpha1"),
    Kind("cronjob", "CronJob", "cronjobs", "batch"),
    Kind("daemonset", "DaemonSet", "daemonsets", "apps"),
    Kind("deployment", "Deployment", "deployments", "apps"),
    Kind("helmrelease", "HelmRelease", "helmreleases", "helm.toolkit.fluxcd.io", "v2"),
    Kind("hpa", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", "v2"),
    Kind("job", "Job", "jobs", "batch"),
    Kind("kustomization", "Kustomization", "kustomizations", "kustomize.toolkit.fluxcd.io"),
    Kind("namespace", "Namespace", "namespaces", namespaced=False),
    Kind("node", "Node", "nodes", namespaced=False),
    Kind("pod", "Pod", "pods"),
    Kind("pvc", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("replicaset", "ReplicaSet", "replicasets", "apps"),
    Kind("statefulset", "StatefulSet", "statefulsets", "apps"),
)
KINDS: Mapping[str, Kind] = {kind.word: kind for kind in _ALL}
"""By the word that targets use."""
OF_TITLE: Mapping[str, Kind] = {kind.title: kind for kind in _ALL}
"""By the API's own word, as in ``ownerReferences`` and ``scaleTargetRef``."""
AUTOSCALER: Final = "hpa"
SCALED: Final = frozenset({"deployment", "replicaset", "statefulset"})
"""What an autoscaler may scale."""
EVENTS: Final = Kind("event", "Event", "events")


@dataclass(frozen=True, slots=True)
class Place:
    """One object: its cluster, its kind, its namespace (empty for nodes and namespaces) and its name."""

    cluster: str
    kind: Kind
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Where the API has it."""
        return self.kind.path(self.namespace, self.name)

    @property
    def target(self) -> str:
        """The key of it as a target."""
        return SEPARATOR.join(part for part in (self.cluster, self.kind.word, self.namespace, self.name) if part)

    def __str__(self) -> str:
        """``deployment shop/api``."""
        return f"{self.kind.word} {self.namespace}/{self.name}" if self.namespace else f"{self.kind.word} {self.name}"


def place_of(target: str) -> Place:
    """Return the object that a target names; raises ValueError with the form to write."""
    cluster, _, rest = target.partition(SEPARATOR)
    word, *names = rest.split(SEPARATOR)
    kind = KINDS.get(word)
    if kind is None:
        known = ", ".join(KINDS)
        msg = f"the target {target} is no Kubernetes object: write the kind after the cluster, one of {known}"
        raise ValueError(msg)
    if len(names) != (2 if kind.namespaced else 1):
        form = f"{word}/NAMESPACE/NAME" if kind.namespaced else f"{word}/NAME"
        msg = f"the target {target} names no single {word}: write {form}"
        raise ValueError(msg)
    for name in names:
        if not is_name(name):
            msg = f"the target {target}: {name!r} is not a name that Kubernetes gives"
            raise ValueError(msg)
    return Place(cluster, kind, names[0] if kind.namespaced else "", names[-1])


def is_name(text: str) -> bool:
    """Whether an object or a namespace may be called that; anything else could lead to another path."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None
