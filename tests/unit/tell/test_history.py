"""The course of an alert's expression, and what else happened around it."""

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic_core import to_json

from responder.domain.findings import Finding
from responder.domain.runs import RunState
from responder.ports.findings import Announced, Nearby, PastRun, Touched
from responder.ports.tools import Prometheus, Range, Series
from responder.tell.around import Around
from responder.tell.enrich import Scene
from responder.tell.history import history
from responder.tell.pictures import chart_of
from tests.unit.tell.stories import LABELS, STORIES, account, at, episode

LEFT = "job:errors:ratio2m"


@dataclass
class Rules:
    """A Prometheus with one rule, whose figures are what ``value`` says of an instant; also the tools to reach it."""

    rules: tuple[str, ...]
    value: Callable[[datetime], float]

    def prometheus(self, labels: Mapping[str, str]) -> Prometheus:
        return self

    async def query(self, expression: str) -> tuple[Series, ...]:
        return ()

    async def recorded(self, name: str) -> tuple[str, ...]:
        return ()

    async def rule_expressions(self, alertname: str) -> tuple[str, ...]:
        return self.rules

    async def over(self, expression: str, start: datetime, end: datetime, step: timedelta) -> tuple[Range, ...]:
        assert expression == LEFT
        count = int((end - start) / step) + 1
        points = tuple((one := start + step * n, self.value(one)) for n in range(count))
        return (Range({"service": "other"}, ((start, 9.0),)), Range({"service": "checkout"}, points))


def scene(expression: str = f"{LEFT} > 0.01") -> Scene:
    graph = f"http://prometheus/graph?g0.expr={expression}"
    return Scene(account(episodes=(episode(generator_url=graph),)), None, at(120))


async def found(rules: Rules, about: Scene) -> dict[str, str]:
    return {one.kind: one.text for one in await history(rules, about)}


async def test_the_course_of_the_alerts_own_series_is_told_with_its_threshold() -> None:
    rules = Rules((f"{LEFT}  > 0.01",), lambda one: 0.04 if one > at(0) else 0.003)
    told = await found(rules, scene())
    assert told["chart"].endswith("0.3 % → 4 % in 1h, fires above 1 %")
    assert told["anomaly"].startswith("unusual for this hour: above the 0.3 % of the last 7 days")
    (course, *_) = await history(rules, scene())
    assert len(json.dumps(course.data)) < 8_000
    assert course.data["threshold"] == 0.01  # type: ignore[call-overload,index] # a mapping


async def test_the_chart_marks_when_something_was_changed_and_undone() -> None:
    rules = Rules((f"{LEFT} > 0.01",), lambda one: 0.04 if one > at(-300) else math.nan)
    course = [
        replace(one, data=json.loads(to_json(one.data, inf_nan_mode="null")))
        for one in await history(rules, replace(scene(), now=at(300)))
    ]
    drawn = chart_of(replace(STORIES["rolled-back"].account, findings=tuple(course)))
    assert "▲ workers: 4 → 6" in drawn
    assert "▲ undone: workers: 6 → 4" in drawn
    assert drawn.count("<polyline") == 1
    assert chart_of(STORIES["rolled-back"].account) == ""


async def test_what_fills_up_says_when_it_is_full() -> None:
    rules = Rules((f"{LEFT} > 0.8",), lambda one: 0.85 + 0.0001 * ((one - at(0)) / timedelta(minutes=1)))
    about = scene(f"{LEFT} > 0.8")
    assert (await found(rules, about))["forecast"].startswith("at this slope full in 1d")


async def test_what_the_sender_says_counts_only_when_a_rule_says_the_same() -> None:
    rules = Rules((f"{LEFT} > 0.05",), lambda _: 0.5)
    assert await found(rules, scene()) == {}
    assert await found(Rules(("absent(up)",), lambda _: 1), scene("absent(up)")) == {}
    assert await found(Rules((f"{LEFT} > 0.01",), lambda _: math.nan), scene()) != {}


class Store:
    """A store that knows what happened around."""

    def __init__(self, past: Sequence[PastRun] = (), beside: Sequence[Nearby] = (), touched: Sequence[Touched] = ()):  # noqa: ANN204
        self._past, self._beside, self._touched = past, beside, touched
        self.reads = 0
        self.said: Sequence[Announced] = ()

    async def past(self, playbook: str, since: datetime) -> Sequence[PastRun]:
        return self._past if playbook == "checkout-workers" else ()

    async def nearby(self, incident_id: str, since: datetime) -> Sequence[Nearby]:
        self.reads += 1
        return self._beside

    async def touched(self, since: datetime, until: datetime) -> Sequence[Touched]:
        self.reads += 1
        return self._touched

    async def announced(self, since: datetime, until: datetime) -> Sequence[Announced]:
        self.reads += 1
        return self.said

    async def claim_looks(self, limit: int) -> Sequence[str]:
        return ()

    async def looked(self, incident_id: str, found: Sequence[Finding], again: timedelta | None) -> bool:
        return False

    async def found(self, incident_id: str, found: Sequence[Finding]) -> bool:
        return False


async def test_past_outcomes_related_incidents_and_what_we_changed_are_told() -> None:
    past = [PastRun(RunState.VERIFIED, timedelta(seconds=130))] * 12 + [PastRun(RunState.ROLLED_BACK, timedelta())] * 2
    beside = [
        Nearby("i2", at(-60), open=True, labels={**LABELS, "alertname": "CheckoutSlow"}),
        Nearby("i3", at(-60), open=True, labels={"alertname": "Elsewhere", "service": "cart"}),
        Nearby("i4", at(-60), open=True, labels={"alertname": "SameJobOnly", "job": "node"}),
    ]
    touched = [
        Touched("c9", "r9", "tune-cache", "http/checkout", "set", at(-600), {"mb": 64}, {"mb": 128}),
        Touched("c7", "r7", "tune-cache", "http/checkout", "set", at(-900), {"mb": 32}, {"mb": 64}, at(-700)),
        Touched("c8", "r8", "tune-cache", "http/cart", "set", at(-600), {"mb": 64}, {"mb": 128}),
        Touched("c1", "r1", "checkout-workers", "http/checkout", "set", at(-1), {"workers": 4}, {"workers": 6}),
    ]
    about = Scene(STORIES["fixing"].account, None, at(60))
    told = [one.text for one in await Around(Store(past, beside, touched)).look(about)]
    assert told == [
        "checkout-workers, last 30 days: 14 runs, 12 fixed, 2 undone, median 2m10s",
        "13:52 UTC tune-cache changed http/checkout: mb: 64 → 128",
        "13:47 UTC tune-cache changed http/checkout: mb: 32 → 64, undone at 13:50 UTC",
        "CheckoutSlow began 14:01 UTC (service=checkout)",
    ]
    news = replace(STORIES["fixing"], account=replace(about.account, findings=tuple(
        await Around(Store(past, beside, touched)).look(about)
    ))).told()  # fmt: skip
    assert [kind for kind, _ in news.notes] == ["past", "changed", "changed", "related"]


async def test_related_incidents_of_one_name_are_told_apart_by_the_labels_that_differ() -> None:
    shops = [{**LABELS, "alertname": "ShopErrors", "job": "shop", "shop": shop} for shop in ("oslo", "bonn", "rome")]
    beside = [Nearby(f"i{n}", at(n), open=True, labels=one) for n, one in enumerate(shops, start=2)]
    told = [one.text for one in await Around(Store((), beside)).look(Scene(STORIES["fixing"].account, None, at(60)))]
    assert told == [f"ShopErrors began 14:02 UTC (shop={shop}, service=checkout)" for shop in ("oslo", "bonn", "rome")]


async def test_of_what_tells_related_incidents_apart_the_place_comes_first() -> None:
    ports = [{**LABELS, "alertname": "ShopErrors", "a": n, "b": n, "pod": f"shop-{n}"} for n in "12"]
    beside = [Nearby(f"i{n}", at(2), open=True, labels=one) for n, one in enumerate(ports, start=2)]
    told = [one.text for one in await Around(Store((), beside)).look(Scene(STORIES["fixing"].account, None, at(60)))]
    assert told == [f"ShopErrors began 14:02 UTC (pod=shop-{n}, a={n}, service=checkout)" for n in "12"]


async def test_a_label_that_tells_apart_and_is_shared_as_well_is_named_once() -> None:
    ports = [{**LABELS, "alertname": "ShopErrors", "service": name} for name in ("checkout", "cart")]
    beside = [Nearby(f"i{n}", at(2), open=True, labels={**one, "pod": "p"}) for n, one in enumerate(ports, start=2)]
    about = replace(STORIES["fixing"].account, episodes=(episode(labels={**LABELS, "pod": "p"}),))
    told = [one.text for one in await Around(Store((), beside)).look(Scene(about, None, at(60)))]
    assert told == [
        "ShopErrors began 14:02 UTC (service=checkout, pod=p)",
        "ShopErrors began 14:02 UTC (service=cart, pod=p)",
    ]


async def test_a_figure_that_was_measured_once_has_no_course() -> None:
    class Once(Rules):
        async def over(self, expression: str, start: datetime, end: datetime, step: timedelta) -> tuple[Range, ...]:
            return (Range({"service": "checkout"}, ((end, 0.5),)),)

    assert "chart" not in await found(Once((f"{LEFT} > 0.01",), lambda _: 0.5), scene())


async def test_the_surroundings_are_read_once_for_a_storm_and_again_after_two_seconds() -> None:
    about = Scene(STORIES["fixing"].account, None, at(60))
    opened = about.account.incident.opened_at
    beside = [
        Nearby(about.account.incident.id, opened, open=True, labels=LABELS),
        Nearby("i2", at(-60), open=True, labels=LABELS),
        Nearby("i3", opened - timedelta(minutes=30, seconds=10), open=True, labels=LABELS),  # read, but too old
    ]
    later = [Touched("c9", "r9", "tune-cache", "http/checkout", "set", opened + timedelta(seconds=1), 1, 2)]
    store = Store((), beside, later)
    around = Around(store)
    told = [[one.name for one in found] for found in await asyncio.gather(*(around.look(about) for _ in range(20)))]
    assert told == [["related:i2"]] * 20
    assert store.reads == 3
    await around.look(replace(about, now=at(63)))
    assert store.reads == 6


async def test_what_others_announced_of_the_target_or_the_labels_is_told_for_two_hours() -> None:
    store = Store()
    store.said = [
        Announced(9, at(20), "ci", "checkout 1.8 is out", "http/checkout"),
        Announced(8, at(-600), "ana", "a larger pool", labels={"service": "checkout"}),
        Announced(7, at(-600), "ana", "of another", labels={"service": "checkout", "namespace": "else"}),
        Announced(6, at(-600), "ci", "cart 2.0 is out", "http/cart"),
        Announced(5, at(-7300), "ci", "long ago", "http/checkout"),
    ]
    told = [one.text for one in await Around(store).look(Scene(STORIES["fixing"].account, None, at(60)))]
    assert told == [
        "14:02 UTC ci announced: checkout 1.8 is out (http/checkout)",
        "13:52 UTC ana announced: a larger pool (service=checkout)",
    ]
