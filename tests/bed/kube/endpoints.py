"""The endpoints controllers: which pods stand behind a service."""

from collections.abc import Iterator

from tests.bed.kube.pods import ready
from tests.bed.kube.selectors import selects
from tests.bed.kube.world import World, going, owned_by
from tests.bed.web import JsonObject


class ServiceEndpoints:
    """Keeps one Endpoints and one EndpointSlice for each service with a selector."""

    def work(self, world: World) -> Iterator[None]:
        """Do what there is to do now."""
        for service in world.store.every("Service"):
            selector = service["spec"].get("selector")
            if not selector or going(service):
                continue
            pods = [
                pod
                for pod in world.store.every("Pod", service["metadata"]["namespace"])
                if selects({"matchLabels": selector}, pod["metadata"].get("labels", {})) and "podIP" in pod["status"]
            ]
            if self._endpoints(world, service, [pod for pod in pods if not going(pod)]):
                yield
            if self._slice(world, service, pods):
                yield

    def _endpoints(self, world: World, service: JsonObject, pods: list[JsonObject]) -> bool:
        meta = service["metadata"]
        subset: JsonObject = {}
        for pod in pods:
            key = "addresses" if ready(pod) else "notReadyAddresses"
            address = {"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": _reference(pod)}
            subset.setdefault(key, []).append(address)
        subsets = [{**subset, "ports": _ports(service)}] if subset else []
        found = world.store.get("Endpoints", meta["namespace"], meta["name"])
        if found is None:
            world.create("Endpoints", meta["namespace"], {"metadata": {"name": meta["name"]}, "subsets": subsets})
            return True
        if found.get("subsets", []) == subsets:
            return False
        world.change(found, lambda body: body.update(subsets=subsets))
        return True

    def _slice(self, world: World, service: JsonObject, pods: list[JsonObject]) -> bool:
        meta = service["metadata"]
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {
                    "ready": ready(pod) and not going(pod),
                    "serving": ready(pod),
                    "terminating": going(pod),
                },
                "nodeName": pod["spec"]["nodeName"],
                "targetRef": _reference(pod),
            }
            for pod in pods
        ]
        name = f"{meta['name']}-slice"
        found = world.store.get("EndpointSlice", meta["namespace"], name)
        if found is not None:
            if found["endpoints"] == endpoints:
                return False
            world.change(found, lambda body: body.update(endpoints=endpoints))
            return True
        about = {"name": name, "labels": {"kubernetes.io/service-name": meta["name"]}}
        body = {"metadata": {**about, "ownerReferences": owned_by(service)}, "addressType": "IPv4"}
        world.create("EndpointSlice", meta["namespace"], {**body, "endpoints": endpoints, "ports": _ports(service)})
        return True


def _reference(pod: JsonObject) -> JsonObject:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def _ports(service: JsonObject) -> list[JsonObject]:
    return [
        {"port": port["port"], "protocol": port["protocol"], **({"name": port["name"]} if "name" in port else {})}
        for port in service["spec"].get("ports", ())
    ]
