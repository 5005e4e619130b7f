"""Who else keeps a field of a Kubernetes object as it is: an autoscaler, a GitOps controller, somebody's hand."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from responder.domain.kubernetes import MANAGER, Place

Object = Mapping[str, JsonValue]

ARGO_TRACKING: Final = "argocd.argoproj.io/tracking-id"
ARGO_INSTANCE: Final = "app.kubernetes.io/instance"
"""Argo CD's label unless it tracks by annotation; Helm's charts set it as well."""
ARGO_APPLICATIONS: Final = "/apis/argoproj.io/v1alpha1/applications"
FLUX: Final = {
    "kustomize.toolkit.fluxcd.io": ("Kustomization", "v1", "kustomizations"),
    "helm.toolkit.fluxcd.io": ("HelmRelease", "v2", "helmreleases"),
}
"""By the domain of the labels ``name`` and ``namespace``: kind, version and plural of what applies the object."""
_SYSTEM: Final = frozenset({"kube-controller-manager", "kube-scheduler", "kubelet", MANAGER})
"""Managers whose fields are nobody's wish."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Something that has a say in a field; one that ``heals`` soon puts back what anybody else writes there."""

    name: str
    heals: bool
    why: str

    def __str__(self) -> str:
        """``the autoscaler api keeps the number of replicas``."""
        return f"{self.name} {self.why}"


def at(value: JsonValue | Object, *path: str) -> JsonValue:
    """Return what lies at ``path`` inside, None where it leads nowhere."""
    current = cast("JsonValue", value)
    for name in path:
        current = current.get(name) if isinstance(current, dict) else None
    return current


def text_at(value: JsonValue | Object, *path: str) -> str:
    """Return the text at ``path``, empty when there is none."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def scales(hpa: Object, place: Place) -> bool:
    """Whether an autoscaler scales the object at ``place``."""
    return (
        text_at(hpa, "metadata", "namespace") == place.namespace
        and text_at(hpa, "spec", "scaleTargetRef", "kind") == place.kind.title
        and text_at(hpa, "spec", "scaleTargetRef", "name") == place.name
        and text_at(hpa, "spec", "scaleTargetRef", "apiVersion").partition("/")[0] in (place.kind.group, "")
    )


def autoscaler(hpas: Iterable[Object], place: Place) -> Keeper | None:
    """Return the autoscaler that keeps the number of replicas."""
    for hpa in hpas:
        if scales(hpa, place):
            name = text_at(hpa, "metadata", "name")
            return Keeper(f"the autoscaler {name}", heals=True, why="keeps the number of replicas; use kubernetes.hpa")
    return None


def argo_application(obj: Object) -> tuple[str, bool] | None:
    """Return the name of the Argo CD application that may apply an object, and whether that is certain."""
    tracking = text_at(obj, "metadata", "annotations", ARGO_TRACKING)
    if tracking:
        # <application>:<group>/<kind>:<namespace>/<name>; in other namespaces it is <namespace>_<application>.
        return tracking.partition(":")[0].rpartition("_")[2], True
    name = text_at(obj, "metadata", "labels", ARGO_INSTANCE)
    return (name, False) if name else None


def argo_keeper(name: str, application: Object | None, *, certain: bool) -> Keeper | None:
    """Judge an application; one that cannot be read heals as far as we know."""
    label = f"Argo CD (application {name})"
    if application is None:
        return Keeper(label, heals=True, why="applies it, and cannot be asked whether it heals it") if certain else None
    automated = at(application, "spec", "syncPolicy", "automated")
    if isinstance(automated, dict) and automated.get("selfHeal") is True and automated.get("enabled") is not False:
        return Keeper(label, heals=True, why="heals what differs from its repository")
    return Keeper(label, heals=False, why="applies it at its next sync")


def flux_applier(obj: Object) -> tuple[str, str, str] | None:
    """Return the domain, namespace and name of the Flux object that applies ``obj``."""
    for domain in FLUX:
        name = text_at(obj, "metadata", "labels", f"{domain}/name")
        if name:
            return domain, text_at(obj, "metadata", "labels", f"{domain}/namespace"), name
    return None


def flux_path(applier: tuple[str, str, str]) -> str:
    """Return where the API has what applies an object."""
    domain, namespace, name = applier
    _, version, plural = FLUX[domain]
    return f"/apis/{domain}/{version}/namespaces/{namespace}/{plural}/{name}"


def flux_keeper(applier: tuple[str, str, str], found: Object | None, obj: Object) -> Keeper:
    """Judge what applies an object; one that cannot be read heals as far as we know."""
    domain, _, name = applier
    kind = FLUX[domain][0]
    label = f"Flux ({kind} {name})"
    if text_at(obj, "metadata", "annotations", "kustomize.toolkit.fluxcd.io/reconcile") == "disabled":
        return Keeper(label, heals=False, why="leaves it alone, by its annotation")
    if found is None:
        return Keeper(label, heals=True, why="applies it, and cannot be asked whether it heals it")
    if at(found, "spec", "suspend") is True:
        return Keeper(label, heals=False, why="is suspended")
    if kind == "HelmRelease" and text_at(found, "spec", "driftDetection", "mode") != "enabled":
        return Keeper(label, heals=False, why="applies it at its next release")
    return Keeper(label, heals=True, why="heals what differs from its repository")


def setters(obj: Object, path: tuple[str, ...]) -> Iterator[str]:
    """Go through the managers that own the field at ``path``, other than ours and the cluster's own."""
    managed = at(obj, "metadata", "managedFields")
    for entry in managed if isinstance(managed, list) else ():
        manager = text_at(entry, "manager")
        if at(entry, "fieldsV1", *(f"f:{name}" for name in path)) is not None and manager not in _SYSTEM:
            yield manager
