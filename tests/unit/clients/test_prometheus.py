"""Prometheus' answers: numbers where it gives numbers, an error where it cannot be understood, never silence."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from responder.clients import prometheus as module
from responder.clients.prometheus import LIMIT, PrometheusClient
from responder.clients.toolbox import HttpSpec, PrometheusSpec, Toolbox
from responder.domain.errors import Permanent, StepError, Temporary
from responder.language.matchers import parse_matchers
from tests.bed.processes import free_port
from tests.bed.servers import Prometheus
from tests.bed.web import JsonObject, cut, serving

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def asking(answer: Answer) -> AsyncIterator[PrometheusClient]:
    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    async with serving(app) as url:
        client = PrometheusClient(url)
        try:
            yield client
        finally:
            await client.close()


def says(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers=headers)

    return answer


def vector(*rows: object) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}})


def row(value: object, at: object = 1.5) -> JsonObject:
    return {"metric": {"job": "a"}, "value": [at, value]}


async def failing(answer: Answer) -> StepError:
    async with asking(answer) as client:
        with pytest.raises(StepError) as raised:
            await client.query("up")
        return raised.value


async def test_values_come_as_numbers_with_their_labels() -> None:
    async with asking(says(vector(row("500"), row("+Inf"), row("NaN")))) as client:
        one, other, third = await client.query("x")
    assert (one.labels, one.value, one.at) == ({"job": "a"}, 500.0, datetime.fromtimestamp(1.5, UTC))
    assert other.value == math.inf
    assert math.isnan(third.value)


async def test_a_histogram_is_data_without_a_number() -> None:
    async with asking(says(vector({"metric": {}, "histogram": [1.5, {"count": "3"}]}))) as client:
        [series] = await client.query("x")
    assert math.isnan(series.value)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>a login page</html>",
        "[]",
        "3",
        "{}",
        "[" * 100_000,
        '{"status": "success"}',
        '{"status": "success", "data": []}',
        '{"status": "success", "data": {"resultType": "vector", "result": ["up"]}}',
        vector(row("1", at="yesterday")),
        vector(row("1", at=1e300)),
        vector(row("1", at=None)),
    ],
)
async def test_an_answer_that_cannot_be_understood_is_not_no_data(body: str) -> None:
    assert isinstance(await failing(says(body)), Temporary)


@pytest.mark.parametrize("kind", ["matrix", "streams", None])
async def test_what_is_not_one_number_a_series_is_refused(kind: str | None) -> None:
    body = json.dumps({"status": "success", "data": {"resultType": kind, "result": []}})
    assert isinstance(await failing(says(body)), Permanent)


async def test_more_series_than_anybody_asked_for_are_refused() -> None:
    assert "aggregate" in str(await failing(says(vector(*[row("1")] * (LIMIT + 1)))))


async def test_a_longer_answer_than_can_be_meant_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100)
    assert "longer than" in str(await failing(says(vector(*[row("1")] * 10))))


@pytest.mark.parametrize(("status", "kind"), [(400, Permanent), (422, Permanent), (429, Temporary), (503, Temporary)])
async def test_a_refused_expression_is_for_good_and_trouble_is_not(status: int, kind: type[StepError]) -> None:
    error = await failing(says('{"status": "error", "error": "the reason"}', status))
    assert isinstance(error, kind)
    assert "the reason" in str(error)


async def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path == "/elsewhere":
            return web.Response(text=vector())
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    assert isinstance(await failing(elsewhere), Temporary)
    assert asked == ["/api/v1/query"]


async def test_a_slow_prometheus_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)

    async def hangs(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    assert isinstance(await failing(hangs), Temporary)


async def test_a_cut_connection_and_nobody_there_are_temporary() -> None:
    async def cuts(request: web.Request) -> web.StreamResponse:
        return cut(request)

    assert isinstance(await failing(cuts), Temporary)
    port = free_port()
    client = PrometheusClient(f"http://127.0.0.1:{port}")
    with pytest.raises(Temporary, match=rf"^Prometheus cannot be asked: 127.0.0.1:{port}: Connection refused$"):
        await client.query("up")
    await client.close()


async def test_rules_of_another_name_are_left_out_where_the_server_does_not_filter() -> None:
    rules = [
        {"type": "alerting", "name": "Mine", "query": "a > 1"},
        {"type": "alerting", "name": "Other", "query": "b > 1"},
        {"type": "alerting", "name": "Mine", "query": "a > 2"},
        {"type": "alerting", "name": "Mine"},
    ]
    groups = [{"rules": rules[:2]}, {"rules": None}, {"rules": rules[2:]}]
    body = json.dumps({"status": "success", "data": {"groups": groups}})
    async with asking(says(body)) as client:
        assert await client.rule_expressions("Mine") == ("a > 1", "a > 2")
        assert await client.rule_expressions("Nobody") == ()


async def test_a_real_prometheus_is_understood(prometheus: Prometheus) -> None:
    prometheus.configure(rules=[{"alert": "Busy", "expr": "vector(3)   > 2"}, {"record": "Busy", "expr": "vector(1)"}])
    client = PrometheusClient(prometheus.url)
    try:
        [series] = await client.query('label_replace(vector(3), "job", "a", "", "")')
        assert (series.labels, series.value) == ({"job": "a"}, 3.0)
        [number] = await client.query("1 / 4")
        assert (number.labels, number.value) == ({}, 0.25)
        assert await client.query("vector(1) > 2") == ()
        [nothing] = await client.query("0 / 0")
        assert math.isnan(nothing.value)
        assert await client.rule_expressions("Busy") == ("vector(3) > 2",)
        assert await client.recorded("Busy") == ("vector(1)",)
        with pytest.raises(Permanent):
            await client.query("sum(")
        with pytest.raises(Permanent):
            await client.query("up[5m]")
    finally:
        await client.close()


# --- the tool box ---------------------------------------------------------------------------------------------------


def spec(matchers: str = "") -> PrometheusSpec:
    return PrometheusSpec("http://prometheus.invalid", parse_matchers(matchers) if matchers else (), {}, lambda: None)


def test_exactly_one_prometheus_answers_for_an_alert() -> None:
    tools = Toolbox({}, {"eu": spec('region="eu"'), "us": spec('region="us"'), "default": spec()})
    assert tools.prometheus({"region": "eu"}) is tools.prometheus({"region": "eu", "job": "a"})
    assert tools.prometheus({"region": "eu"}) is not tools.prometheus({"region": "us"})
    assert tools.prometheus({}) not in {tools.prometheus({"region": "eu"}), tools.prometheus({"region": "us"})}


def test_none_or_several_that_fit_are_refused_by_name() -> None:
    with pytest.raises(Permanent, match="none"):
        Toolbox({}, {}).prometheus({})
    with pytest.raises(Permanent, match="a, b"):
        Toolbox({}, {"a": spec('job="x"'), "b": spec('region="eu"')}).prometheus({"job": "x", "region": "eu"})


def test_a_service_that_nobody_configured_is_refused_with_those_there_are() -> None:
    tools = Toolbox({"shop": HttpSpec("http://shop.invalid", (), {}, lambda: None, timedelta(seconds=1))}, {})
    assert tools.http("shop") is tools.http("shop")
    with pytest.raises(Permanent, match="shop"):
        tools.http("chop")
