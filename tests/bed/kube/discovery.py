"""What the server says about itself: version, groups and the resources of each group."""

from tests.bed.kube.kinds import KINDS, REVIEWS, Kind, review_group
from tests.bed.web import JsonObject

VERSION: JsonObject = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2026-04-22T00:00:00Z",
    "goVersion": "go1.26.0",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
_SUB_VERBS = {"log": ["get"], "eviction": ["create"], "finalize": ["update"]}


def answer(path: str) -> JsonObject | None:
    """Return the discovery document at `path`; None when there is none."""
    groups = [_group(name, version) for name, version in _groups()]
    servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
    documents: dict[str, JsonObject] = {
        "/version": VERSION,
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers},
        "/api/v1": _resources("", "v1"),
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
    }
    for name, version in _groups():
        documents[f"/apis/{name}"] = {"kind": "APIGroup", "apiVersion": "v1", **_group(name, version)}
        documents[f"/apis/{name}/{version}"] = _resources(name, version)
    return documents.get(path.rstrip("/"))


def _groups() -> list[tuple[str, str]]:
    found = dict.fromkeys((kind.group, kind.version) for kind in KINDS if kind.group)
    return [*found, ("authentication.k8s.io", "v1"), ("authorization.k8s.io", "v1")]


def _group(name: str, version: str) -> JsonObject:
    one = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [one], "preferredVersion": one}


def _resources(group: str, version: str) -> JsonObject:
    listed: list[JsonObject] = []
    for kind in KINDS:
        if (kind.group, kind.version) == (group, version):
            listed.append(_resource(kind))
            listed += [_subresource(kind, name) for name in kind.subresources]
    for plural, name in REVIEWS.items():
        if review_group(plural) == group:
            review = {"name": plural, "singularName": name.lower(), "namespaced": False, "kind": name}
            listed.append({**review, "verbs": ["create"]})
    full = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": full, "resources": listed}


def _resource(kind: Kind) -> JsonObject:
    found: JsonObject = {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
    }
    return {**found, "shortNames": list(kind.short)} if kind.short else found


def _subresource(kind: Kind, name: str) -> JsonObject:
    verbs = _SUB_VERBS.get(name, ["get", "patch", "update"])
    found = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind}
    if name == "scale":
        found |= {**_SCALE}
    elif name == "eviction":
        found |= {"group": "policy", "version": "v1", "kind": "Eviction"}
    return {**found, "verbs": verbs}
