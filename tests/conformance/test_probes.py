"""What judging relies on, for every probe of the catalogue: it reads, it says what it saw, it guesses nothing."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from responder.app import catalogue
from responder.clients.toolbox import ClusterSpec, HttpSpec, PrometheusSpec, Toolbox
from responder.domain.errors import Permanent, StepError, Temporary
from responder.language.pointers import resolve
from responder.playbook.schema import load_playbook
from responder.ports.probe import Probe, Reading
from responder.probes.http_get import HttpGet
from responder.probes.prometheus_query import PrometheusQuery
from tests.bed.kube import kubeconfig
from tests.bed.web import cut, serving
from tests.conformance.database_probes import DATABASE_PROBES

PROBES = catalogue().probes
SECRET = "planted-credential-1"
SHAPES: dict[str, Probe] = {
    "http.get": HttpGet(service="shop", path="/stock", pointer="/n"),
    "prometheus.query": PrometheusQuery(query="stock"),
    **{
        name: PROBES[name].model_validate(given)
        for name, given in {
            "kubernetes.endpoints": {"service": "shop/web"},
            "kubernetes.events": {"of": "node/one", "since": "5w", "type": "all"},
            "kubernetes.hpa": {"of": "deployment/shop/web", "read": "max"},
            "kubernetes.job": {"of": "job/shop/nightly", "read": "active"},
            "kubernetes.logs": {"of": "pod/shop/web-1"},
            "kubernetes.nodes": {"read": "all"},
            "kubernetes.pods": {"of": "namespace/shop", "read": "all"},
            "kubernetes.quota": {"of": "namespace/shop", "resource": "pods"},
            "kubernetes.rollout": {"of": "deployment/shop/web", "read": "ready"},
            "kubernetes.top": {"of": "node/one"},
            "kubernetes.volume": {"of": "pvc/shop/data", "read": "free"},
        }.items()
    },
}
NAMED = ("kubernetes.owner", "kubernetes.revision")
COUNTED = frozenset({"kubernetes.events", "kubernetes.nodes", "kubernetes.pods", "kubernetes.logs"})
"""What counts: where there is nothing, that is zero."""
APPS, SHOP = "/apis/apps/v1/namespaces/shop", "/api/v1/namespaces/shop"
AUTOSCALERS = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
NIGHTLY = "/apis/batch/v1/namespaces/shop/jobs/nightly"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
NODES_USE = "/apis/metrics.k8s.io/v1beta1/nodes"
QUOTAS = f"{SHOP}/resourcequotas"
WEB = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
MOUNTS = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
SUMMARY = "/api/v1/nodes/one/proxy/stats/summary"
FILLED = {
    "/stock": {"n": 4},
    "/api/v1/query": {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1, "4"]}]},
    },
    f"{APPS}/deployments/web": {"kind": "Deployment", "metadata": {"name": "web"}, "status": {"readyReplicas": 4}},
    AUTOSCALERS: {
        "items": [{"metadata": {"namespace": "shop"}, "spec": {"scaleTargetRef": WEB, "maxReplicas": 4}}],
    },
    "/api/v1/events": {
        "items": [{"involvedObject": {"kind": "Node"}, "count": 4, "lastTimestamp": f"{datetime.now(UTC):%FT%TZ}"}],
    },
    NIGHTLY: {"kind": "Job", "metadata": {"name": "nightly"}, "status": {"active": 4}},
    SLICES: {"items": [{"endpoints": [{"addresses": [f"10.0.0.{number}"]} for number in range(4)]}]},
    NODES_USE: {"items": [{"metadata": {"name": "one"}, "usage": {"cpu": "4"}}]},
    QUOTAS: {"items": [{"metadata": {"name": "few"}, "status": {"hard": {"pods": "2"}, "used": {"pods": "8"}}}]},
    "/api/v1/nodes": {"items": [{"kind": "Node"}] * 4},
    f"{SHOP}/pods": {
        "items": [{"kind": "Pod", "spec": {"nodeName": "one", "volumes": [MOUNTS]}, "status": {"phase": "Running"}}] * 4
    },
    SUMMARY: {"pods": [{"volume": [{"availableBytes": 4, "pvcRef": {"name": "data", "namespace": "shop"}}]}]},
    f"{SHOP}/pods/web-1": {"kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop"}},
    f"{SHOP}/pods/web-1/log": "a\nb\nc\nd\n",
}
GONE = {"kind": "Status", "reason": "NotFound", "details": {"name": "web"}}
EMPTY = {
    "/stock": {"n": None},
    "/api/v1/query": {"status": "success", "data": {"resultType": "vector", "result": []}},
    f"{APPS}/deployments/web": GONE,
    NIGHTLY: {**GONE, "details": {"name": "nightly"}},
    f"{SHOP}/pods/web-1": FILLED[f"{SHOP}/pods/web-1"],
    f"{SHOP}/pods/web-1/log": "",
    **{
        path: {"items": []}
        for path in (AUTOSCALERS, "/api/v1/events", "/api/v1/nodes", f"{SHOP}/pods", SLICES, NODES_USE, QUOTAS)
    },
}


@dataclass
class Peer:
    """A service and a Prometheus in one; it answers with ``answers`` by path, or with a failure."""

    answers: dict[str, object] = field(default_factory=lambda: dict(FILLED))
    failure: str = ""
    methods: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.methods.append(request.method)
        self.credentials.append(request.headers.get("Authorization", ""))
        if self.failure == "cut":
            return cut(request)
        if self.failure:
            return web.Response(status=int(self.failure), text=f"no: {dict(request.headers)}")
        answer = self.answers[request.path]
        if isinstance(answer, str):
            return web.Response(text=answer)
        return web.json_response(
            answer, status=404 if isinstance(answer, dict) and answer.get("kind") == "Status" else 200
        )


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
async def tools(peer: Peer, tmp_path: Path) -> AsyncIterator[Toolbox]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", peer.answer)
    credentials = {"Authorization": f"Bearer {SECRET}"}
    async with serving(app) as url:
        http = {"shop": HttpSpec(url, ("GET /*",), credentials, lambda: None, timedelta(seconds=1))}
        clusters = {"eu": ClusterSpec(kubeconfig.write(tmp_path / "kubeconfig", url, SECRET))}
        box = Toolbox(http, {"default": PrometheusSpec(url, (), credentials, lambda: None)}, clusters=clusters)
        yield box
        await box.close()


@pytest.fixture(params=SHAPES)
def probe(request: pytest.FixtureRequest) -> Probe:
    return SHAPES[str(request.param)]


def test_every_probe_of_the_catalogue_is_held_to_this() -> None:
    """Those that ask a database are held to it on real servers, in test_database_probes.py.

    Those that read a name, or several objects, are held in test_kubernetes_probes.py.
    """
    held = {name: type(probe) for name, probe in SHAPES.items()} | {name: PROBES[name] for name in NAMED}
    assert held | {kind.name: kind for kind in DATABASE_PROBES} == dict(PROBES)


@pytest.mark.parametrize("name", PROBES)
def test_an_example_loads_as_a_condition(name: str) -> None:
    kind = PROBES[name]
    first, *rest = kind.example.splitlines()
    condition = "\n".join([f"  - {first}", *(f"    {line}" for line in rest)])
    text = f"""\
schema: 1
name: example
summary: An example.
mode: observe
matchers:
  - alertname="A"
target: http/checkout
steps:
  - id: it
    http.request:
      service: checkout
      read: GET /a
      send: PATCH /a
      json:
        a: 1
verify:
{condition}
"""
    condition_loaded = load_playbook(text, "example.yaml", catalogue(), None).verify[0]
    assert condition_loaded.probe is kind or condition_loaded.query is not None


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_says_what_it_is(name: str) -> None:
    kind = PROBES[name]
    assert kind.name == name
    assert kind.model_config.get("frozen")
    assert kind.model_config.get("extra") == "forbid"
    assert all(info.description for info in kind.model_fields.values())


async def test_a_look_reads_the_value_and_changes_nothing(probe: Probe, peer: Peer, tools: Toolbox) -> None:
    assert (await probe.look({}, tools)).values == (4,)
    assert (await probe.look({}, tools)).values == (4,)
    assert set(peer.methods) == {"GET"}
    assert set(peer.credentials) == {f"Bearer {SECRET}"}


async def test_nothing_there_is_no_data_and_no_error(probe: Probe, peer: Peer, tools: Toolbox) -> None:
    peer.answers = dict(EMPTY)
    assert (await probe.look({}, tools)).values == ((0,) if probe.name in COUNTED else ())


@pytest.mark.parametrize("failure", ["500", "503", "429", "404", "401", "302", "cut"])
async def test_a_failure_is_an_error_and_never_no_data(probe: Probe, peer: Peer, tools: Toolbox, failure: str) -> None:
    peer.failure = failure
    with pytest.raises(Temporary if failure in {"500", "503", "429", "cut"} else StepError) as raised:
        await probe.look({}, tools)
    assert SECRET not in f"{raised.value} {raised.value!r}"


async def test_who_is_not_configured_is_an_error(probe: Probe) -> None:
    with pytest.raises(Permanent):
        await probe.look({}, Toolbox({}, {}))


# --- http.get -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "pointer", "values"),
    [
        ({"a": {"b": 1.5}}, "/a/b", (1.5,)),
        ({"a": [1, {"b": "x"}]}, "/a/1/b", ("x",)),
        ({"a": False}, "/a", (False,)),
        ({"a": 0}, "/a", (0,)),
        ({"a": ""}, "/a", ("",)),
        ({"": 1}, "/", (1,)),
        ({"a/b": 1, "m~n": 2}, "/a~1b", (1,)),
        ({"a/b": 1, "m~n": 2}, "/m~0n", (2,)),
        ({"~1": 3, "/": 4}, "/~01", (3,)),
        (7, "", (7,)),
        ({"a": None}, "/a", ()),
        ({"a": 1}, "/b", ()),
        ({"a": 1}, "/a/b", ()),
        ({"a": [1]}, "/a/1", ()),
        ({"a": [1]}, "/a/-1", ()),
        ({"a": [1]}, "/a/00", ()),
        ({"a": [1]}, "/a/-", ()),
        ({"a": [1]}, "/a/" + "9" * 5000, ()),
        ({"a": [1]}, "/a/\u0660", ()),
    ],
)
async def test_a_pointer_leads_to_one_value_or_to_none(
    peer: Peer, tools: Toolbox, document: object, pointer: str, values: tuple[object, ...]
) -> None:
    peer.answers["/stock"] = document
    reading = await HttpGet(service="shop", path="/stock", pointer=pointer).look({}, tools)
    assert reading.values == values
    assert bool(reading.note) == (not values)


@pytest.mark.parametrize("document", [{"a": {"b": 1}}, {"a": [1, 2]}, {"a": {}}, {"a": []}])
async def test_what_is_not_one_value_is_refused(peer: Peer, tools: Toolbox, document: object) -> None:
    peer.answers["/stock"] = document
    with pytest.raises(Permanent, match="single value"):
        await HttpGet(service="shop", path="/stock", pointer="/a").look({}, tools)


@pytest.mark.parametrize(
    "wrong", [{"path": "stock"}, {"path": "http://evil.example/"}, {"path": ""}, {"path": "/a", "pointer": "n"}]
)
def test_a_probe_that_cannot_be_meant_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        HttpGet.model_validate({"service": "shop", **wrong})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(document=json_values, data=st.data())
def test_a_pointer_finds_whatever_there_is(document: JsonValue, data: st.DataObject) -> None:
    pointer, expected = "", document
    while isinstance(expected, dict | list) and expected and data.draw(st.booleans()):
        name: str | int
        if isinstance(expected, dict):
            name = data.draw(st.sampled_from(sorted(expected)))
            expected = expected[name]
        else:
            name = data.draw(st.integers(0, len(expected) - 1))
            expected = expected[name]
        pointer += "/" + str(name).replace("~", "~0").replace("/", "~1")
    assert resolve(document, pointer) == expected


@given(document=json_values, pointer=st.text(alphabet="/~01ab-", max_size=8))
def test_a_pointer_never_fails(document: JsonValue, pointer: str) -> None:
    found = resolve(document, pointer)
    assert found is None or json.dumps(found) in json.dumps(document)


# --- prometheus.query -----------------------------------------------------------------------------------------------


async def test_a_query_gives_one_value_for_each_series(peer: Peer, tools: Toolbox) -> None:
    rows = [{"metric": {"pod": name}, "value": [1, value]} for name, value in (("a", "1"), ("b", "2.5"))]
    peer.answers["/api/v1/query"] = {"status": "success", "data": {"resultType": "vector", "result": rows}}
    assert await PrometheusQuery(query="x").look({}, tools) == Reading((1.0, 2.5))
