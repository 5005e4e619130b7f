"""What the API server fills in: the defaults of the built-in kinds, and what admission adds to a pod."""

import base64
import secrets

from tests.bed.kube.kinds import Json, Kind
from tests.bed.kube.schema import has_field
from tests.bed.web import JsonObject

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # those of k8s.io/apimachinery/pkg/util/rand: no vowels, no look-alikes


def suffix(length: int = 5) -> str:
    """Return the random end of a generated name."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def fill(kind: Kind, obj: JsonObject) -> None:
    """Set what was left out of `obj`."""
    if kind.custom:
        return
    filler = _FILLERS.get(kind.kind)
    spec = obj.setdefault("spec", {}) if has_field(kind, "spec") else {}
    if filler:
        filler(spec)
    if kind.kind == "Namespace":
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    if kind.kind == "Pod":
        for condition in obj.get("status", {}).get("conditions", ()):
            condition.setdefault("lastProbeTime", None)  # the one null that the server always writes
    if kind.kind == "Secret":
        obj.setdefault("type", "Opaque")
        _encode_secret(obj)
    if kind.kind.endswith("RoleBinding"):
        for subject in obj.get("subjects", ()):
            if subject.get("kind") != "ServiceAccount":
                subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def starting_status(kind: Kind) -> JsonObject | None:
    """Return the status that a new object has; None for kinds without one."""
    if kind.custom or "status" not in kind.subresources:
        return None
    special: dict[str, JsonObject] = {
        "Namespace": {"phase": "Active"},
        "Pod": {"phase": "Pending"},
        "Service": {"loadBalancer": {}},
        "ReplicaSet": {"replicas": 0},
        "StatefulSet": {"replicas": 0, "availableReplicas": 0},
        "DaemonSet": {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        },
        "PodDisruptionBudget": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
        "HorizontalPodAutoscaler": {"desiredReplicas": 0, "currentMetrics": None},
    }
    return special.get(kind.kind, {})


def _defaults(target: JsonObject, **values: Json) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _deployment(spec: JsonObject) -> None:
    _defaults(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    _defaults(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        rolling = spec["strategy"].setdefault("rollingUpdate", {})
        _defaults(rolling, maxUnavailable="25%", maxSurge="25%")
    _template(spec)


def _statefulset(spec: JsonObject) -> None:
    _defaults(spec, replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10, updateStrategy={})
    _defaults(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    _defaults(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _defaults(spec["updateStrategy"].setdefault("rollingUpdate", {}), partition=0)
    _template(spec)


def _daemonset(spec: JsonObject) -> None:
    _defaults(spec, revisionHistoryLimit=10, updateStrategy={})
    _defaults(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _defaults(spec["updateStrategy"].setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)
    _template(spec)


def _replicaset(spec: JsonObject) -> None:
    _defaults(spec, replicas=1)
    _template(spec)


def _job(spec: JsonObject) -> None:
    _defaults(spec, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    _defaults(spec, podReplacementPolicy="TerminatingOrFailed")
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    _defaults(spec, parallelism=1)
    _template(spec)


def _cronjob(spec: JsonObject) -> None:
    _defaults(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    job = spec.setdefault("jobTemplate", {})
    job.setdefault("metadata", {})
    _template(job.setdefault("spec", {}))


def _autoscaler(spec: JsonObject) -> None:
    _defaults(spec, minReplicas=1)
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    _defaults(spec, metrics=[{"type": "Resource", "resource": resource}])


def _service(spec: JsonObject) -> None:
    _defaults(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    _defaults(spec, ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    if spec["type"] != "ExternalName":
        _defaults(spec, clusterIP=f"10.96.{secrets.randbelow(255)}.{1 + secrets.randbelow(254)}")
        _defaults(spec, clusterIPs=[spec["clusterIP"]])
    for port in spec.get("ports", ()):
        _defaults(port, protocol="TCP", targetPort=port.get("port"))


def _claim(spec: JsonObject) -> None:
    _defaults(spec, volumeMode="Filesystem")


def _template(spec: JsonObject) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod(template.setdefault("spec", {}), inside=True)
    if not template["metadata"]:
        del template["metadata"]


def _pod(spec: JsonObject, *, inside: bool = False) -> None:
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        _container(container)
    _defaults(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if not inside:
        _defaults(spec, enableServiceLinks=True)
    for volume in spec.get("volumes", ()):
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if source in volume:
                _defaults(volume[source], defaultMode=420)
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])


def _container(container: JsonObject) -> None:
    image = str(container.get("image", ""))
    latest = ":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")
    _defaults(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest else "IfNotPresent",
    )
    if "limits" in container["resources"]:
        requests = container["resources"].setdefault("requests", {})
        _defaults(requests, **container["resources"]["limits"])
    for port in container.get("ports", ()):
        _defaults(port, protocol="TCP")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _defaults(container[probe], timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            if "httpGet" in container[probe]:
                _defaults(container[probe]["httpGet"], scheme="HTTP", path="/")


def _encode_secret(obj: JsonObject) -> None:
    for key, value in obj.pop("stringData", {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


_FILLERS = {
    "Pod": _pod,
    "Deployment": _deployment,
    "StatefulSet": _statefulset,
    "DaemonSet": _daemonset,
    "ReplicaSet": _replicaset,
    "Job": _job,
    "CronJob": _cronjob,
    "HorizontalPodAutoscaler": _autoscaler,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
}


def select_job(job: JsonObject) -> None:
    """Give a new job its selector and its pods the labels for it."""
    meta, spec = job["metadata"], job["spec"]
    if spec.get("manualSelector"):
        return
    own = {"batch.kubernetes.io/controller-uid": meta["uid"], "batch.kubernetes.io/job-name": meta["name"]}
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    labels |= {**own, "controller-uid": meta["uid"], "job-name": meta["name"]}
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": meta["uid"]}}


_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_PROJECTED: list[JsonObject] = [
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {
        "downwardAPI": {
            "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
        }
    },
]


def admit_pod(pod: JsonObject) -> None:
    """Add what the admission plugins add: service account, its volume, tolerations, priority; and the QoS class."""
    spec = pod["spec"]
    _defaults(spec, serviceAccountName="default", priority=0, preemptionPolicy="PreemptLowerPriority")
    _defaults(spec, serviceAccount=spec["serviceAccountName"])
    tolerations = spec.setdefault("tolerations", [])
    for key in _TOLERATED:
        if not any(one.get("key") == key and one.get("effect") == "NoExecute" for one in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    if spec.get("automountServiceAccountToken", True) and not any(
        one["name"].startswith("kube-api-access-") for one in spec.get("volumes", ())
    ):
        name = f"kube-api-access-{suffix()}"
        projected = {"name": name, "projected": {"sources": list(_PROJECTED), "defaultMode": 420}}
        spec.setdefault("volumes", []).append(projected)
        mount = {"name": name, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        for container in spec.get("containers", ()):
            container.setdefault("volumeMounts", []).append(dict(mount))
    pod["status"]["qosClass"] = _qos(spec)


def _qos(spec: JsonObject) -> str:
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    resources = [container.get("resources", {}) for container in containers]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    whole = all(
        {"cpu", "memory"} <= set(one.get("limits", {})) and one["limits"] == one.get("requests") for one in resources
    )
    return "Guaranteed" if whole else "Burstable"
