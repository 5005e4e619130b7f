"""Manifests for tests: small workloads that say only what matters."""

from tests.bed.kube.kinds import Json
from tests.bed.web import JsonObject


def template(app: str, image: str, **spec: object) -> JsonObject:
    """Return a pod template with one container, ``c``."""
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def workload(kind: str, app: str, *, image: str = "shop:1", namespace: str = "shop", **spec: object) -> JsonObject:
    """Return a Deployment, StatefulSet, DaemonSet or ReplicaSet of an app; `spec` adds to its spec."""
    body: JsonObject = {"selector": {"matchLabels": {"app": app}}, "template": template(app, image), **spec}
    if kind == "StatefulSet":
        body.setdefault("serviceName", app)
    meta = {"name": app, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": body}


def deployment(app: str = "web", *, image: str = "shop:1", replicas: int = 2, **spec: Json) -> JsonObject:
    """Return a Deployment in the namespace ``shop``."""
    return workload("Deployment", app, image=image, replicas=replicas, **spec)


def job(name: str = "task", *, image: str = "task:1", **spec: object) -> JsonObject:
    """Return a Job whose pods are not restarted."""
    body = {"template": template(name, image, restartPolicy="Never"), **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "shop"}, "spec": body}


def budget(app: str = "web", **spec: object) -> JsonObject:
    """Return a PodDisruptionBudget of an app."""
    selector = {"matchLabels": {"app": app}}
    meta = {"name": app, "namespace": "shop"}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": meta,
        "spec": {"selector": selector, **spec},
    }


def autoscaler(app: str = "web", *, low: int, high: int, utilization: int = 50) -> JsonObject:
    """Return a HorizontalPodAutoscaler of a Deployment."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": app}
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": utilization}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": app, "namespace": "shop"},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": low,
            "maxReplicas": high,
            "metrics": [{"type": "Resource", "resource": resource}],
        },
    }


def rule(*verbs: str, group: str = "", resources: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> JsonObject:
    """Return a policy rule."""
    found: JsonObject = {"apiGroups": [group], "resources": [*resources], "verbs": [*verbs]}
    return {**found, "resourceNames": [*names]} if names else found
