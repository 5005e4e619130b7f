"""The peer answers as a real control plane did: 60 recorded exchanges, played in order and compared key by key.

`kubernetes/golden.json` was recorded against a real 1.36 control plane whose kubelet was a stand-in.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.bed.kube import Cluster
from tests.bed.kube.kinds import Json
from tests.bed.web import JsonObject

GOLDEN: list[JsonObject] = json.loads((Path(__file__).parent / "kubernetes" / "golden.json").read_text())
LABELS = [exchange["label"] for exchange in GOLDEN]

SETTLED = {"put stale", "list limit 1", "watch future rv", "evict blocked", "evict dryrun", "pods"}
"""Before these the real controllers had come to rest."""

STEPS = {
    "strategic containers merge by name": ["Deployments"],
    "json patch ok": ["Deployments"],
    "status ignored on main put/patch": ["Deployments", "Deployments", *["ReplicaSets"] * 4, "Deployments"],
}
"""How far the real controllers had got before these, as their answers show; before all others they did nothing."""

HEADERS = {
    "bad token": {"Authorization": "Bearer nobody's"},
    "impersonated forbidden": {"Impersonate-User": "system:serviceaccount:golden:bot"},
}
"""What the recording does not show of a request."""

BY_NATURE = {
    "containerID",
    "continue",
    "creationTimestamp",
    "deletionTimestamp",
    "hostIP",
    "ip",
    "lastTransitionTime",
    "lastUpdateTime",
    "nodeName",
    "pod-template-hash",
    "podIP",
    "resourceVersion",
    "startTime",
    "startedAt",
    "time",
    "uid",
}
"""Values that differ from run to run: only that they are there, and of which type, is compared."""

BY_TIMING = {
    "availableReplicas",
    "observedGeneration",
    "readyReplicas",
    "replicas",
    "unavailableReplicas",
    "updatedReplicas",
}
"""Counts in the status of a workload, and of a Scale: how far the controllers had got."""


NAMES = {"uid", "resourceVersion", "name", "generateName", "continue"}
"""Where an answer says how something is called that later requests name."""


@dataclass(slots=True)
class Played:
    """What our peer answered, and which of its names stand for which recorded ones."""

    answers: dict[str, JsonObject] = field(default_factory=dict)
    wanted: dict[str, Json] = field(default_factory=dict)
    ours: dict[str, str] = field(default_factory=dict)

    def translated(self, recorded: Json) -> Json:
        """Return a recorded value with our names in place of the recorded ones."""
        if isinstance(recorded, dict):
            return {key: self.translated(value) for key, value in recorded.items()}
        if isinstance(recorded, list):
            return [self.translated(value) for value in recorded]
        if not isinstance(recorded, str):
            return recorded
        if recorded in self.ours:
            return self.ours[recorded]
        for name in sorted((name for name in self.ours if len(name) > 8), key=len, reverse=True):
            recorded = recorded.replace(name, self.ours[name])
        return recorded

    def learn(self, recorded: Json, answered: Json, key: str = "") -> None:
        """Take from a pair of answers what is called how."""
        if isinstance(recorded, dict) and isinstance(answered, dict):
            for name in recorded.keys() & answered.keys():
                self.learn(recorded[name], answered[name], name)
        elif isinstance(recorded, list) and isinstance(answered, list):
            for one, other in zip(recorded, answered, strict=False):
                self.learn(one, other, key)
        elif key in NAMES and isinstance(recorded, str) and isinstance(answered, str) and recorded != answered:
            self.ours[recorded] = answered


async def play() -> Played:
    """Send all that was recorded, in order; three watches of a second are sent at once."""
    played = Played()
    async with Cluster(automatic=False) as cluster:
        headers = {"Authorization": f"Bearer {cluster.admin}"}
        async with aiohttp.ClientSession(cluster.url, headers=headers) as session:
            watches: list[JsonObject] = []
            for exchange in GOLDEN:
                if exchange["label"] in SETTLED:
                    cluster.settled()
                for name in STEPS.get(exchange["label"], ()):
                    cluster.runner.step(name)
                if exchange["request"]["params"].get("watch"):
                    watches.append(exchange)
                    continue
                await asyncio.gather(*(send(session, played, watch) for watch in watches))
                watches.clear()
                await send(session, played, exchange)
    return played


async def send(session: aiohttp.ClientSession, played: Played, exchange: JsonObject) -> None:
    label, request = exchange["label"], played.translated(exchange["request"])
    headers = {"Content-Type": request["content_type"], **HEADERS.get(label, {})}
    body = None if request["body"] is None else json.dumps(request["body"])
    async with session.request(
        request["method"], request["path"], params=request["params"], data=body, headers=headers
    ) as answer:
        text = await answer.text()
        plain = text if not text.startswith("{") or request["params"].get("watch") else json.loads(text)
        played.answers[label] = {"status": answer.status, "headers": dict(answer.headers), "body": plain}
    played.learn(exchange["response"]["body"], plain)
    played.wanted[label] = played.translated(exchange["response"]["body"])


@pytest.fixture(scope="module")
def played() -> Played:
    return asyncio.run(play())


def test_no_label_is_there_twice() -> None:
    assert len(set(LABELS)) == len(LABELS) == 60


@pytest.mark.parametrize("label", LABELS)
def test_the_peer_answers_as_the_real_server_did(played: Played, label: str) -> None:
    recorded, answered = GOLDEN[LABELS.index(label)]["response"], played.answers[label]
    assert answered["status"] == recorded["status"], answered["body"]
    wanted, given = played.wanted[label], answered["body"]
    if label.startswith("watch"):
        wanted, given = events(wanted), events(given)
    assert list(differences(excused(label, wanted), excused(label, given))) == []
    for name in ("Warning", "Retry-After"):
        assert answered["headers"].get(name) == recorded["headers"].get(name)
    assert answered["headers"]["Content-Type"].split(";")[0] == recorded["headers"]["Content-Type"]


def events(text: str) -> list[JsonObject]:
    """Return the events of a watch."""
    return [json.loads(line) for line in text.splitlines()]


def differences(recorded: Json, ours: Json, path: str = "") -> Iterator[str]:
    """Yield where our answer is not like the recorded one."""
    key = path.rsplit(".", 1)[-1].split("[", maxsplit=1)[0]
    if type(recorded) is not type(ours):
        yield f"{path}: {recorded!r} was recorded, {ours!r} is ours"
    elif isinstance(recorded, dict):
        for name in sorted(recorded.keys() - ours.keys()):
            yield f"{path}.{name}: missing, {recorded[name]!r} was recorded"
        for name in sorted(ours.keys() - recorded.keys()):
            yield f"{path}.{name}: {ours[name]!r} is ours alone"
        for name in recorded.keys() & ours.keys():
            yield from differences(recorded[name], ours[name], f"{path}.{name}")
    elif isinstance(recorded, list):
        if len(recorded) != len(ours):
            yield f"{path}: {len(recorded)} items were recorded, {len(ours)} are ours"
        for index, (one, other) in enumerate(zip(recorded, ours, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif recorded != ours and key not in BY_NATURE and not (key in BY_TIMING and ".status" in path):
        yield f"{path}: {recorded!r} was recorded, {ours!r} is ours"


def excused(label: str, body: Json) -> Json:
    """Return a body without what may differ, each for its reason."""
    if isinstance(body, list):
        return [excused(label, one) for one in body]
    if not isinstance(body, dict):
        return body
    result = {key: excused(label, value) for key, value in body.items()}
    if isinstance(result.get("message"), str):
        result["message"] = re.sub(r"web-[0-9a-z]{8,10}(-[0-9a-z]{5})?\b", "web-#", result["message"])
    for key, excuse in EXCUSES.items():
        if key in result:
            excuse(result)
    if label in ONCE:
        ONCE[label](result)
    return result


def _bad_token(body: JsonObject) -> None:
    body["message"] = ":".join(str(body.get("message")).split(":")[:2])  # the rest is Go's JSON decoder's


def _recorder(body: JsonObject) -> None:
    if "selector" in body:
        body["replicas"] = 2  # the recorder had prepared its next request in the answer


def _begun(body: JsonObject) -> None:
    if "annotations" in body:  # the real controller had begun the rollout of the generation before
        body["annotations"]["deployment.kubernetes.io/revision"] = "2"


def _refused(body: JsonObject) -> None:
    if body.get("type") == "Progressing":  # the real controller's NewReplicaSetCreated was refused as stale
        body |= {"reason": "", "message": ""}


def _owners(body: JsonObject) -> None:
    body["managedFields"] = owners(body["managedFields"])


def _conditions(body: JsonObject) -> None:
    if isinstance(body["conditions"], list):
        body["conditions"] = sorted(body["conditions"], key=lambda one: str(one["type"]))


def _pod_status(status: JsonObject) -> None:
    for one in status["containerStatuses"]:
        one.pop("imageID")
        one.pop("containerID")
    for one in status["conditions"]:
        one.pop("reason", None)  # the stand-in left ContainersNotReady on conditions that were True again


def _volumes(spec: JsonObject) -> None:
    for volume in spec["volumes"]:
        sources = volume["projected"]["sources"]  # the recorded control plane came from OpenShift's build
        sources[:] = [one for one in sources if one.get("configMap", {}).get("name") != "openshift-service-ca.crt"]


EXCUSES = {
    "managedFields": _owners,
    "containerStatuses": _pod_status,
    "conditions": _conditions,
    "volumes": _volumes,
}
"""What is put aside wherever it stands, by a key beside it."""

ONCE = {
    "list bad continue": _bad_token,
    "get": _recorder,
    "ssa force": _begun,
    "status ignored on main put/patch": _refused,
    "status subresource": _refused,
}
"""What is put aside in one exchange."""


def owners(entries: list[JsonObject]) -> JsonObject:
    """Return managedFields by who owns: their order is by time, and times differ."""
    result = {}
    for entry in entries:
        manager = {"kubelet": "Python"}.get(entry["manager"], entry["manager"])  # the stand-in's name
        tree = _plain(entry["fieldsV1"])
        pod = "f:hostIP" in tree.get("f:status", {})
        if pod:
            for one in tree["f:status"]["f:conditions"].values():
                one.pop("f:reason", None)  # see _pod_status
        kept = {key: value for key, value in entry.items() if key not in {"manager", "fieldsV1"}}
        result[f"{manager}/{entry['operation']}/{entry.get('subresource', '')}"] = {**kept, "fieldsV1": tree}
    return result


def _plain(tree: JsonObject) -> JsonObject:
    """Return a field set in which uids and addresses are not told apart."""
    return {"k:it" if key.startswith(('k:{"uid"', 'k:{"ip"')) else key: _plain(value) for key, value in tree.items()}
