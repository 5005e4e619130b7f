"""The kinds of objects that the peer serves, and where each is served."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.bed.web import JsonObject

Json = Any  # any JSON value

READ = ("get", "list", "watch")
VERBS = (*READ, "create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource. `model` names the class of the client library that knows its fields; custom ones have none."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    generation: bool = False
    subresources: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    model: str = ""
    verbs: tuple[str, ...] = VERBS

    @property
    def api_version(self) -> str:
        """Return ``apps/v1`` or ``v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """Return ``deployments.apps`` or ``pods``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def path(self) -> str:
        """Return where its version is served, without a slash at the end."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def custom(self) -> bool:
        """Whether it is defined by a custom resource definition."""
        return not self.model

    def url(self, namespace: str = "", name: str = "") -> str:
        """Return the path of an object or a collection."""
        inside = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{self.path}{inside}/{self.plural}" + (f"/{name}" if name else "")


class Place(NamedTuple):
    """Where an object is; `namespace` is empty for kinds that have none."""

    kind: Kind
    namespace: str
    name: str


def _kind(
    at: str,
    plural: str,
    kind: str,
    short: str,
    *sub: str,
    model: str = "",
    cluster: bool = False,
    generation: bool = True,
) -> Kind:
    """Return a kind; `at` is group and version, `sub` its subresources."""
    group, version = at.split(":")
    shorts = (short,) if short else ()
    return Kind(group, version, plural, kind, not cluster, generation, sub, shorts, model)


def _plain(plural: str, kind: str, short: str, *sub: str, cluster: bool = False) -> Kind:
    """Return a kind of the core group that has no generation."""
    model = "CoreV1Event" if kind == "Event" else f"V1{kind}"
    return _kind(":v1", plural, kind, short, *sub, model=model, cluster=cluster, generation=False)


def _rule(plural: str, kind: str) -> Kind:
    at = "rbac.authorization.k8s.io:v1"
    return _kind(at, plural, kind, "", model=f"V1{kind}", cluster=kind.startswith("Cluster"), generation=False)


KINDS = (
    _plain("namespaces", "Namespace", "ns", "finalize", "status", cluster=True),
    _plain("nodes", "Node", "no", "status", cluster=True),
    _kind(":v1", "pods", "Pod", "po", "eviction", "log", "status", model="V1Pod"),
    _plain("services", "Service", "svc", "status"),
    _plain("endpoints", "Endpoints", "ep"),
    _plain("events", "Event", "ev"),
    _plain("configmaps", "ConfigMap", "cm"),
    _plain("secrets", "Secret", ""),
    _plain("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", "status"),
    _plain("resourcequotas", "ResourceQuota", "quota", "status"),
    _plain("serviceaccounts", "ServiceAccount", "sa"),
    _kind("apps:v1", "deployments", "Deployment", "deploy", "scale", "status", model="V1Deployment"),
    _kind("apps:v1", "statefulsets", "StatefulSet", "sts", "scale", "status", model="V1StatefulSet"),
    _kind("apps:v1", "replicasets", "ReplicaSet", "rs", "scale", "status", model="V1ReplicaSet"),
    _kind("apps:v1", "daemonsets", "DaemonSet", "ds", "status", model="V1DaemonSet"),
    _kind("apps:v1", "controllerrevisions", "ControllerRevision", "", model="V1ControllerRevision", generation=False),
    _kind("batch:v1", "jobs", "Job", "", "status", model="V1Job"),
    _kind("batch:v1", "cronjobs", "CronJob", "cj", "status", model="V1CronJob"),
    _kind(
        "autoscaling:v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        "hpa",
        "status",
        model="V2HorizontalPodAutoscaler",
        generation=False,
    ),
    _kind("policy:v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", "status", model="V1PodDisruptionBudget"),
    _kind("discovery.k8s.io:v1", "endpointslices", "EndpointSlice", "", model="V1EndpointSlice"),
    _rule("roles", "Role"),
    _rule("rolebindings", "RoleBinding"),
    _rule("clusterroles", "ClusterRole"),
    _rule("clusterrolebindings", "ClusterRoleBinding"),
    Kind("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", verbs=("get", "list")),
    Kind("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", namespaced=False, verbs=("get", "list")),
    _kind("argoproj.io:v1alpha1", "applications", "Application", "app"),
    _kind("kustomize.toolkit.fluxcd.io:v1", "kustomizations", "Kustomization", "ks", "status"),
    _kind("helm.toolkit.fluxcd.io:v2", "helmreleases", "HelmRelease", "hr", "status"),
)

REVIEWS = {
    "selfsubjectreviews": "SelfSubjectReview",
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "selfsubjectrulesreviews": "SelfSubjectRulesReview",
    "subjectaccessreviews": "SubjectAccessReview",
}
"""Resources that answer a question and are never stored; see `review_group`."""


def review_group(plural: str) -> str:
    """Return the group that serves a review."""
    return "authentication.k8s.io" if plural == "selfsubjectreviews" else "authorization.k8s.io"


_BY_PATH = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
_BY_NAME: dict[str, Kind] = {}
for _one in KINDS:
    for _name in (_one.kind, _one.plural, _one.plural.rstrip("s"), *_one.short):
        _BY_NAME.setdefault(_name.lower(), _one)


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return whether a flag of a query is set, in any of the ways that Go's strconv.ParseBool reads."""
    return query.get(name, "") in {"1", "t", "T", "true", "TRUE", "True"}


def served(group: str, version: str, plural: str) -> Kind | None:
    """Return the kind that is served there."""
    return _BY_PATH.get((group, version, plural))


def named(word: str) -> Kind:
    """Return the kind that people call `word`: ``Deployment``, ``deployments``, ``deploy``."""
    try:
        return _BY_NAME[word.lower()]
    except KeyError:
        raise ValueError(f"the peer serves no kind {word!r}; it serves {', '.join(sorted(_BY_NAME))}") from None


def place_of(obj: JsonObject) -> Place:
    """Return where `obj` is."""
    kind = kind_of(obj)
    return Place(kind, obj["metadata"].get("namespace", "") if kind.namespaced else "", obj["metadata"]["name"])


def kind_of(manifest: JsonObject) -> Kind:
    """Return the kind of `manifest`."""
    for kind in KINDS:
        if (kind.api_version, kind.kind) == (manifest.get("apiVersion"), manifest.get("kind")):
            return kind
    raise ValueError(f"the peer serves no {manifest.get('kind')!r} of {manifest.get('apiVersion')!r}")
