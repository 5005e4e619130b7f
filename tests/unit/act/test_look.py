"""Looking through a real Prometheus: NaN, empty, stale, slow or failing metrics never verify anything."""

import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from responder.act import look as module
from responder.act.look import look, own_rule
from responder.clients.toolbox import HttpSpec, PrometheusSpec, Toolbox
from responder.domain.ids import new_id
from responder.domain.runs import Sample
from responder.language.templates import Template
from responder.playbook.model import Condition
from responder.probes.http_get import HttpGet
from responder.probes.prometheus_query import PrometheusQuery
from tests.bed.proxy import Mode, proxied
from tests.bed.servers import Prometheus
from tests.bed.target_process import TargetProcess, target_process
from tests.bed.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GAUGES = {"shop_a": 1.0, "shop_b": 9.0, "shop_odd": math.nan}


@dataclass(frozen=True)
class World:
    """A Prometheus that has seen two queues, ``a`` with a depth of 1 and ``b`` with 9, under a job of the test's own.

    ``rules`` are its alerting rules by name; there are two more with the name ``Twice``.
    """

    tools: Toolbox
    job: str

    def metric(self, name: str, **labels: str) -> str:
        inside = ",".join(f'{label}="{value}"' for label, value in {"job": self.job, **labels}.items())
        return f"{name}{{{inside}}}"

    def depth(self, **labels: str) -> str:
        return self.metric("shop_depth", **labels)

    @property
    def rules(self) -> dict[str, str]:
        return {
            "Deep": f"{self.depth()} > 5",
            "Gone": f"absent({self.metric('shop_nothing')})",
            "Both": f"{self.depth()} > 5 and {self.depth()} < 100",
            "Either": f"{self.depth()} > 5 or {self.depth()} < 0",
            "Present": self.depth(),
            "Odd": f"{self.metric('shop_odd')} > 5",
            "Average": f"sum by (queue) (avg_over_time({self.depth()}[2s])) > 5",
        }

    def names(self, alertname: str = "Deep", **labels: str) -> dict[str, object]:
        return {"labels": {"alertname": alertname, "job": self.job, **labels}, "annotations": {}, "steps": {}}

    async def seen(self, condition: Condition, **labels: str) -> Sample:
        return await look(condition, self.names(**labels), self.tools, None, NOW)

    async def judged(self, alertname: str, generator: str, **labels: str) -> Sample:
        return await own_rule(generator, self.names(alertname, **labels), self.tools, NOW)


@dataclass(frozen=True)
class Place:
    """The servers of these tests: a Prometheus takes five seconds to find a new target, so they share one."""

    prometheus: Prometheus
    target: TargetProcess
    job: str


@pytest.fixture(scope="module")
def place(prometheus_server: Prometheus) -> Iterator[Place]:
    one = World(Toolbox({}, {}), f"look-{new_id()}")
    alerts = [{"alert": name, "expr": expression} for name, expression in one.rules.items()]
    twice = [{"alert": "Twice", "expr": f"{one.depth()} > {bound}"} for bound in (5, 50)]
    own = prometheus_server.alertmanager
    with target_process() as target:
        for name, value in GAUGES.items():
            target.metric(name, value)
        queues = [
            {"record": "shop_depth", "expr": one.metric(f"shop_{queue}"), "labels": {"queue": queue}} for queue in "ab"
        ]
        prometheus_server.configure({one.job: target.url}, [*queues, *alerts, *twice])
        yield Place(prometheus_server, target, one.job)
        prometheus_server.configure(alertmanager=own)
        target.child.kill()  # requests that it was told to leave hanging would keep it for ten seconds


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    place.target._send("DELETE", "/faults")
    one = World(toolbox(place.prometheus.url, place.target.url), place.job)

    async def fresh() -> bool:
        outcomes = [(await one.seen(below(one.depth(queue=queue)))).outcome for queue in "ab"]
        return outcomes == ["pass", "fail"]

    await eventually(fresh)
    yield one
    await one.tools.close()


def toolbox(prometheus_url: str, target_url: str = "http://shop.invalid") -> Toolbox:
    http = {"shop": HttpSpec(target_url, ("GET /*",), {}, lambda: None, timedelta(seconds=1))}
    return Toolbox(http, {"default": PrometheusSpec(prometheus_url, (), {}, lambda: None)})


def below(query: str, bound: float = 5.0, *, requires: tuple[str, ...] = ()) -> Condition:
    required = tuple(Template.parse(text) for text in requires)
    return Condition("c", query=Template.parse(query), limits={"below": bound}, requires=required)


# --- promise 15 -----------------------------------------------------------------------------------------------------


async def test_metrics_that_are_there_and_fine_do_verify(world: World) -> None:
    assert (await world.seen(below(world.depth(queue="a")))).outcome == "pass"
    assert (await world.seen(below(world.depth(queue="b")))).outcome == "fail"
    assert (await world.seen(below(world.depth()))).outcome == "fail"


@pytest.mark.promise(15)
async def test_nan_never_verifies_anything(world: World) -> None:
    odd = world.metric("shop_odd")
    assert (await world.seen(below(odd))).outcome == "unknown"
    assert (await world.seen(below(f"{odd} or {world.depth()}", 100.0))).outcome == "unknown"
    assert (await world.seen(below("0 / 0"))).outcome == "unknown"
    assert (await world.seen(below("-1 / 0"))).outcome == "unknown"
    assert (await world.judged("Odd", world.rules["Odd"])).outcome == "unknown"


async def test_empty_never_verifies_anything(world: World) -> None:
    assert (await world.seen(below("shop_nothing"))).outcome == "unknown"
    assert (await world.seen(below(f"{world.depth()} > 1000"))).outcome == "unknown"
    assert (await world.judged("Deep", world.rules["Deep"], queue="c")).outcome == "unknown"


@pytest.mark.parametrize("fault", ["503", "reset", "hang"])
async def test_metrics_that_fail_or_are_slow_go_stale_and_never_verify_anything(
    world: World, place: Place, fault: str
) -> None:
    fine = below(world.depth(queue="a"))
    assert (await world.seen(fine)).outcome == "pass"
    place.target.fault(fault, times=10_000, on="metrics")

    async def gone() -> bool:
        return (await world.seen(fine)).outcome != "pass"

    await eventually(gone)
    assert (await world.seen(fine)).outcome == "unknown"
    assert (await world.judged("Deep", world.rules["Deep"], queue="a")).outcome == "unknown"


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.RESET, Mode.LOSE_REPLY, Mode.BLACKHOLE])
async def test_a_prometheus_that_cannot_be_asked_never_verifies_anything(
    place: Place, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.3)
    async with proxied(place.prometheus.url) as between:
        await between.switch(mode)
        box = toolbox(between.through(place.prometheus.url))
        assert (await World(box, "none").seen(below("vector(1)"))).outcome == "unknown"
        assert (await World(box, "none").judged("Deep", "")).outcome == "unknown"
        await box.close()


async def test_a_query_that_prometheus_refuses_never_verifies_anything(world: World) -> None:
    assert (await world.seen(below("sum("))).outcome == "unknown"
    assert (await world.seen(below(f"{world.depth()}[5m]"))).outcome == "unknown"


async def test_a_label_that_is_missing_never_verifies_anything(world: World) -> None:
    sample = await world.seen(below(world.depth(queue="{{ labels.queue }}")))
    assert sample.outcome == "unknown"
    assert "queue" in sample.reason
    assert (await world.seen(below(world.depth(queue="{{ labels.queue }}")), queue="a")).outcome == "pass"


async def test_a_requirement_that_is_not_met_makes_a_good_value_unknown(world: World) -> None:
    good = world.depth(queue="a")
    assert (await world.seen(below(good, requires=(f"{world.metric('up')} == 1",)))).outcome == "pass"
    assert (await world.seen(below(good, requires=("shop_nothing",)))).outcome == "unknown"
    assert (await world.seen(below(good, requires=(world.metric("shop_odd"),)))).outcome == "unknown"


@pytest.mark.parametrize("fault", ["503", "404", "reset", "hang"])
async def test_a_probe_that_fails_never_verifies_anything(world: World, place: Place, fault: str) -> None:
    arguments = {"service": "shop", "path": "/admin/workers", "pointer": "/workers"}
    condition = Condition("c", probe=HttpGet, arguments=arguments, limits={"equals": 2.0})
    assert (await world.seen(condition)).outcome == "pass"
    place.target.fault(fault, on="read")
    assert (await world.seen(condition)).outcome == "unknown"


# --- the alert's own rule -------------------------------------------------------------------------------------------


async def test_the_alerts_own_rule_is_judged_for_the_alerts_labels(world: World) -> None:
    assert (await world.judged("Deep", world.rules["Deep"], queue="a")).outcome == "pass"
    assert (await world.judged("Deep", world.rules["Deep"], queue="b")).outcome == "fail"
    assert (await world.judged("Deep", world.rules["Deep"])).outcome == "fail"


async def test_the_claimed_expression_may_be_written_with_other_spaces(world: World) -> None:
    assert (await world.judged("Deep", f"\n{world.depth()}   >5 # deep", queue="a")).outcome == "pass"


@pytest.mark.parametrize("claimed", ["vector(0) > 1", "shop_depth > 5"])
async def test_an_expression_that_is_no_rules_query_counts_for_nothing(world: World, claimed: str) -> None:
    sample = await world.judged("Deep", claimed, queue="a")
    assert sample.outcome == "unknown"
    assert "no rule" in sample.reason


async def test_a_rule_of_another_alert_counts_for_nothing(world: World) -> None:
    assert (await world.judged("Somebody", world.rules["Deep"], queue="a")).outcome == "unknown"
    assert (await own_rule(world.rules["Deep"], {"labels": {}}, world.tools, NOW)).outcome == "unknown"


@pytest.mark.parametrize("name", ["Gone", "Both", "Either", "Present"])
async def test_a_query_that_cannot_be_split_at_a_comparison_is_unknown(world: World, name: str) -> None:
    sample = await world.judged(name, world.rules[name], queue="a")
    assert sample.outcome == "unknown"
    assert "verify" in sample.reason


async def test_an_aggregated_rule_is_judged_by_the_labels_it_keeps(world: World) -> None:
    async def outcomes() -> tuple[str, str]:
        one = await world.judged("Average", world.rules["Average"], queue="a")
        return one.outcome, (await world.judged("Average", world.rules["Average"], queue="b")).outcome

    assert await outcomes() == ("pass", "fail")


async def test_without_a_claimed_expression_the_only_rule_of_that_name_counts(world: World) -> None:
    assert (await world.judged("Deep", "", queue="a")).outcome == "pass"
    sample = await world.judged("Twice", "", queue="b")
    assert sample.outcome == "unknown"
    assert "several rules" in sample.reason
    assert (await world.judged("Twice", f"{world.depth()} > 50", queue="b")).outcome == "pass"
    assert (await world.judged("Twice", f"{world.depth()} > 5", queue="b")).outcome == "fail"


# --- how old the data is --------------------------------------------------------------------------------------------

JUST_NOW, LONG_AGO = timedelta(milliseconds=1), timedelta(minutes=1)


@pytest.mark.parametrize(("since", "data", "outcome"), [(JUST_NOW, "old", "unknown"), (LONG_AGO, "new", "pass")])
async def test_only_what_was_measured_after_the_change_is_judged(
    world: World, since: timedelta, data: str, outcome: str
) -> None:
    names = world.names(queue="a")
    rule = await own_rule(world.rules["Deep"], names, world.tools, NOW, since=since)
    queries = (
        world.depth(queue="a"),
        f"sum by (queue) (avg_over_time({world.depth(queue='a')}[2s]))",
        f"{world.metric('shop_a')} offset 1s",
        f'{{__name__="shop_a",job="{world.job}"}}',
    )

    async def a_second_ago() -> bool:
        return (await look(below(queries[2]), names, world.tools, None, NOW, since=LONG_AGO)).outcome == "pass"

    await eventually(a_second_ago)
    looks = [await look(below(query), names, world.tools, None, NOW, since=since) for query in queries]
    probe = Condition("c", probe=PrometheusQuery, arguments={"query": queries[0]}, limits={"below": 5.0})
    looks.append(await look(probe, names, world.tools, None, NOW, since=since))
    assert [(one.data, one.outcome) for one in (rule, *looks)] == [(data, outcome)] * (len(looks) + 1)


async def test_nothing_is_there_counts_once_somebody_has_looked(world: World) -> None:
    async def seen(since: timedelta, *requires: str) -> str:
        gone = Condition(
            "c",
            query=Template.parse(world.metric("shop_nothing")),
            limits={"absent": True},
            requires=tuple(Template.parse(one) for one in requires),
        )
        return (await look(gone, world.names(), world.tools, None, NOW, since=since)).outcome

    up = f'up{{job="{world.job}"}} == 1'
    assert [await seen(since, up) for since in (JUST_NOW, timedelta(seconds=30))] == ["unknown", "pass"]
    assert [await seen(since) for since in (timedelta(seconds=30), LONG_AGO)] == ["unknown", "pass"]
