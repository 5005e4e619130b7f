"""The target keeps a truthful book of effects, whatever becomes of the answers."""

import asyncio
import math
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.bed.ledger import effects, twice
from tests.bed.servers import Prometheus
from tests.bed.target_peer import Target, TargetFault
from tests.bed.target_peer import target as serve_target
from tests.bed.target_process import TargetProcess
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject


@pytest.fixture
async def http(target: Target) -> AsyncIterator[aiohttp.ClientSession]:
    async with sending_once(target.url) as session:
        yield session


def sending_once(url: str) -> aiohttp.ClientSession:
    """Make a session that does not do what aiohttp does by itself: send a PUT again when the connection was cut."""
    session = aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(2))
    session._retry_connection = False
    return session


async def put(
    http: aiohttp.ClientSession, workers: int, *, key: str = "", if_match: str = "", method: str = "PUT"
) -> tuple[int, JsonObject]:
    headers = {"Idempotency-Key": key, "If-Match": if_match}
    chosen = {name: value for name, value in headers.items() if value}
    async with http.request(method, "/admin/workers", json={"workers": workers}, headers=chosen) as answer:
        return answer.status, await answer.json()


async def etag(http: aiohttp.ClientSession) -> str:
    async with http.get("/admin/workers") as answer:
        return answer.headers.get("ETag", "")


async def test_a_change_is_booked_with_before_and_after(target: Target, http: aiohttp.ClientSession) -> None:
    assert await put(http, 4, key="run:do") == (200, {"workers": 4})
    assert await put(http, 4) == (200, {"workers": 4})
    first, second = target.ledger.entries
    assert (first.before, first.after, first.changed, first.key) == ({"workers": 2}, {"workers": 4}, True, "run:do")
    assert (second.changed, second.applied) == (False, True)
    assert first.began <= first.ended <= second.ended


async def test_patch_merges_post_counts_and_null_removes(target: Target, http: aiohttp.ClientSession) -> None:
    target.resources["workers"] = {"workers": 2, "size": "m"}
    await put(http, 3, method="PATCH")
    assert target.resources["workers"] == {"workers": 3, "size": "m"}
    async with http.patch("/admin/workers", json={"size": None}) as answer:
        assert await answer.json() == {"workers": 3}
    async with http.post("/admin/restart") as answer:
        assert await answer.json() == {"count": 1}


async def test_a_stale_if_match_is_refused_even_after_there_and_back(
    target: Target, http: aiohttp.ClientSession
) -> None:
    stale = await etag(http)
    await put(http, 4)
    await put(http, 2)
    assert (await put(http, 6, if_match=stale))[0] == 412
    assert (await put(http, 6, if_match=await etag(http)))[0] == 200
    target.settings.etags = False
    assert await etag(http) == ""
    assert (await put(http, 2, if_match=stale))[0] == 200


async def test_a_key_gives_the_first_answer_again_without_an_effect(
    target: Target, http: aiohttp.ClientSession
) -> None:
    await put(http, 4, key="k")
    await put(http, 2)
    assert await put(http, 4, key="k") == (200, {"workers": 4})
    assert target.resources["workers"] == {"workers": 2}
    assert (await put(http, 5, key="k"))[0] == 422
    assert twice(target.ledger.entries) == []
    target.settings.keys = False
    await put(http, 4, key="k")
    assert twice(target.ledger.entries) == ["k"]


@pytest.mark.parametrize("status", ["409", "412", "429", "500", "503"])
async def test_a_refusal_has_no_effect(target: Target, http: aiohttp.ClientSession, status: str) -> None:
    target.fault(status, retry_after=7)
    async with http.put("/admin/workers", json={"workers": 4}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (int(status), "7")
    assert effects(target.ledger.entries) == []
    assert [entry.how for entry in target.ledger.entries] == [status]
    assert (await put(http, 4))[0] == 200


@pytest.mark.parametrize(("kind", "landed"), [("lost_reply", 1), ("reset", 0)])
async def test_a_cut_connection_may_or_may_not_have_applied(
    target: Target, http: aiohttp.ClientSession, kind: str, landed: int
) -> None:
    target.fault(kind)
    with pytest.raises(aiohttp.ClientError):
        await put(http, 4, key="k")
    assert len(effects(target.ledger.entries, "workers")) == landed
    assert await put(http, 4, key="k") == (200, {"workers": 4})
    assert twice(target.ledger.entries) == []


async def test_an_effect_may_be_reported_as_a_failure(target: Target, http: aiohttp.ClientSession) -> None:
    target.fault("applied_error", status=503)
    assert (await put(http, 4))[0] == 503
    assert target.resources["workers"] == {"workers": 4}


async def test_an_effect_may_land_late(target: Target, http: aiohttp.ClientSession) -> None:
    target.fault("late", after_ms=100)
    with pytest.raises(aiohttp.ClientError):
        await put(http, 4, key="k")
    assert target.ledger.entries == []
    assert (await put(http, 4, key="k"))[0] == 409
    landed = await eventually(lambda: effects(target.ledger.entries))
    assert (landed[0].how, landed[0].status) == ("late", None)
    assert (await put(http, 4, key="k"))[0] == 200
    assert twice(target.ledger.entries) == []


@pytest.mark.parametrize("fence", ["key", "if_match", "none"])
async def test_a_delayed_request_is_overtaken_and_only_a_fence_stops_it(
    target: Target, http: aiohttp.ClientSession, fence: str
) -> None:
    fences = {"key": {"key": "k"}, "if_match": {"if_match": await etag(http)}, "none": {}}[fence]
    target.fault("delayed", after_ms=100)
    with pytest.raises(aiohttp.ClientError):
        await put(http, 4, **fences)
    assert (await put(http, 4, **fences))[0] == 200
    await put(http, 2)
    landed = await eventually(lambda: target.ledger.entries[2:])
    assert landed[0].applied == (fence == "none")
    assert target.resources["workers"] == {"workers": 4 if fence == "none" else 2}


async def test_what_is_on_its_way_lands_before_the_target_closes() -> None:
    async with serve_target() as ending, sending_once(ending.url) as session:
        ending.fault("late", after_ms=50)
        with pytest.raises(aiohttp.ClientError):
            await put(session, 4)
        assert ending.ledger.entries == []
    assert len(effects(ending.ledger.entries)) == 1


async def test_what_lands_late_still_obeys_if_match(target: Target, http: aiohttp.ClientSession) -> None:
    target.fault("late", after_ms=50)
    with pytest.raises(aiohttp.ClientError):
        await put(http, 9, if_match=await etag(http))
    await put(http, 4)
    await eventually(lambda: [entry for entry in target.ledger.entries if entry.how == "late"])
    assert target.resources["workers"] == {"workers": 4}


@pytest.mark.parametrize(("kind", "applied"), [("hang", False), ("applied_hang", True)])
async def test_a_hang_is_booked_without_an_answer(
    target: Target, http: aiohttp.ClientSession, kind: str, *, applied: bool
) -> None:
    target.fault(kind)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(put(http, 4), 0.1)
    assert [(entry.status, entry.applied) for entry in target.ledger.entries] == [(None, applied)]


async def test_metrics_fail_when_asked(target: Target, http: aiohttp.ClientSession) -> None:
    target.fault("503", on="metrics")
    statuses = []
    for _ in range(2):
        async with http.get("/metrics") as answer:
            statuses.append(answer.status)
    assert statuses == [503, 200]


async def test_reads_fail_only_when_asked(target: Target, http: aiohttp.ClientSession) -> None:
    target.fault("503", on="read")
    assert (await put(http, 4))[0] == 200
    async with http.get("/admin/workers") as answer:
        assert answer.status == 503


async def test_a_client_that_sends_again_by_itself_is_seen(target: Target) -> None:
    target.settings.keys = False
    target.fault("lost_reply")
    async with aiohttp.ClientSession(target.url) as as_it_comes:
        assert (await put(as_it_comes, 4, key="k"))[0] == 200
    assert twice(target.ledger.entries) == ["k"]


def test_a_fault_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        TargetFault("explode")


async def test_latency_is_added(target: Target, http: aiohttp.ClientSession) -> None:
    target.settings.latency_ms = 100
    began = time.monotonic()
    await put(http, 4)
    assert time.monotonic() - began >= 0.1


async def test_more_workers_cure_load_only_when_it_is_curable(target: Target, http: aiohttp.ClientSession) -> None:
    target.gauges["app_load"] = 40
    assert target.measures()["app_error_ratio"] == pytest.approx(0.5)
    await put(http, 4)
    async with http.get("/health") as answer:
        healthy = await answer.json()
    assert (healthy["error_ratio"], healthy["latency_seconds"]) == (0.0, 0.05)
    target.settings.curable = False
    assert target.measures()["app_error_ratio"] == pytest.approx(0.75)


async def test_a_gauge_can_be_set_to_anything_and_hides_a_computed_one(
    target: Target, http: aiohttp.ClientSession
) -> None:
    async with http.put("/metrics/app_error_ratio", data="NaN") as answer:
        assert answer.status == 204
    assert math.isnan(target.measures()["app_error_ratio"])
    async with http.put("/metrics/app_error_ratio", data="many") as answer:
        assert answer.status == 400
    async with http.delete("/metrics/app_error_ratio"):
        assert target.measures()["app_error_ratio"] == 0.0


async def test_prometheus_reads_its_metrics(target: Target, prometheus: Prometheus) -> None:
    target.gauges['bed_queue{name="mail"}'] = 7
    prometheus.configure({"bed-target": target.url})

    async def found() -> list[JsonObject]:
        return await asyncio.to_thread(prometheus.query, 'bed_queue{job="bed-target",name="mail"}')

    assert [sample["value"][1] for sample in await eventually(found)] == ["7"]


async def test_the_process_keeps_its_book_beyond_its_death(target_process: TargetProcess) -> None:
    target_process.settings(latency_ms=1)
    target_process.fault("late", after_ms=1)
    target_process.metric("app_load", 80)
    async with sending_once(target_process.url) as http:
        with pytest.raises(aiohttp.ClientError):
            await put(http, 4, key="first")
        await eventually(target_process.entries)
        await put(http, 6, key="second")
        async with http.get("/health") as answer:
            assert (await answer.json())["load"] == 80
        async with http.get("/ledger") as answer:
            assert [entry["key"] for entry in await answer.json()] == ["first", "second"]
    assert target_process.resource("workers") == {"workers": 6}
    target_process.child.kill()
    assert [(entry.key, entry.after) for entry in target_process.entries()] == [
        ("first", {"workers": 4}),
        ("second", {"workers": 6}),
    ]
