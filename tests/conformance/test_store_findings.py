"""What was found out about incidents, and which are still to be looked at."""

from dataclasses import replace
from datetime import timedelta

from responder.domain.alerts import Severity
from responder.domain.findings import BODY, KEPT, Finding
from responder.domain.records import RecordState
from responder.domain.runs import RunState
from responder.ports.findings import YOUNG
from responder.ports.queues import LEASE
from responder.stores.core.store import SqlStore
from tests.conformance.building import acting, advance, applied, finished, incident, started, write

SECOND = timedelta(seconds=1)


async def _opened(store: SqlStore, severity: Severity = Severity.HIGH, tell: str = "console:") -> str:
    one = incident(store, severity=severity)
    await write(store, incidents=[one], tell={one.id: frozenset({tell})})
    return one.id


def _finding(store: SqlStore, text: str = "events: 3", name: str = "diagnose:r:00", body: str = "") -> Finding:
    return Finding(name, store.now(), text, body)


async def test_a_new_incident_is_looked_at_once_the_most_severe_first(store: SqlStore, replica: SqlStore) -> None:
    mild, worst = await _opened(store, Severity.LOW), await _opened(store, Severity.CRITICAL)
    assert await store.claim_looks(1) == [worst]
    assert await replica.claim_looks(8) == [mild]
    assert await store.claim_looks(8) == []


async def test_a_look_that_came_to_nothing_is_taken_up_again(store: SqlStore) -> None:
    one = await _opened(store)
    await store.claim_looks(8)
    advance(store, LEASE + SECOND)
    assert await store.claim_looks(8) == [one]


async def test_it_is_looked_at_again_when_that_was_asked_for_and_no_later(store: SqlStore) -> None:
    one = await _opened(store)
    await store.claim_looks(8)
    await store.looked(one, (), timedelta(minutes=1))
    assert await store.claim_looks(8) == []
    advance(store, timedelta(minutes=1) + SECOND)
    assert await store.claim_looks(8) == [one]
    await store.looked(one, (), None)
    advance(store, timedelta(minutes=1))
    assert await store.claim_looks(8) == []


async def test_it_is_looked_at_once_more_when_it_has_come_to_an_end(store: SqlStore) -> None:
    one = await _opened(store)
    await store.claim_looks(8)
    await store.looked(one, (), timedelta(minutes=15))
    await store.look_again(one)
    assert await store.claim_looks(8) == [one]
    await store.looked(one, (), None)
    await store.look_again(one)
    assert await store.claim_looks(8) == [one]


async def test_what_nobody_has_looked_at_for_long_is_left_alone(store: SqlStore) -> None:
    await _opened(store)
    advance(store, YOUNG + SECOND)
    assert await store.claim_looks(8) == []


async def test_what_is_new_is_told_and_what_is_known_is_not_told_again(store: SqlStore) -> None:
    one = await _opened(store)
    (item,) = await store.claim_outbox(8, [])
    await store.told(item, {"ts": "1"})
    assert await store.looked(one, [_finding(store)], None)
    advance(store, SECOND * 2)
    (item,) = await store.claim_outbox(8, [])
    await store.told(item, {"ts": "1"})
    assert not await store.found(one, [_finding(store)])
    advance(store, SECOND * 2)
    assert await store.claim_outbox(8, []) == []
    account = (await store.accounts([one]))[one]
    assert [found.text for found in account.findings] == ["events: 3"]


async def test_findings_are_bounded_in_size_and_number(store: SqlStore) -> None:
    one = await _opened(store)
    await store.found(one, [_finding(store, "x" * 9_000, body="y" * 90_000)])
    (kept,) = (await store.accounts([one]))[one].findings
    assert len(kept.body) == BODY
    assert len(kept.text) <= 400
    for number in range(KEPT + 5):
        await store.found(one, [_finding(store, name=f"diagnose:r:{number:02}", text="\x00 \ud800")])
    assert len((await store.accounts([one]))[one].findings) == KEPT


async def test_they_go_with_their_incident(store: SqlStore) -> None:
    one = await _opened(store)
    await store.claim_looks(8)
    await store.found(one, [_finding(store)])
    assert not await store.found("gone", [_finding(store)])
    await write(store, incidents=[incident(store, id=one, resolved_at=store.now())])
    advance(store, timedelta(days=2))
    for _ in range(2):
        await store.expire({"history": timedelta(days=1)}, 100)
    assert await store.accounts([one]) == {}
    await write(store, incidents=[incident(store, id=one)])
    assert (await store.accounts([one]))[one].findings == ()


async def test_what_others_have_changed_is_kept_as_it_was_said(store: SqlStore) -> None:
    since = store.now()
    advance(store, SECOND)
    await store.announce_change("ci", "api 1.8 is out", "eu/deployment/shop/api", {})
    await store.announce_change("ana", "a larger pool", "", {"service": "db"})
    latest, first = await store.announced(since, store.now())
    assert (first.by, first.summary, first.target, first.labels) == (
        "ci", "api 1.8 is out", "eu/deployment/shop/api", {}
    )  # fmt: skip
    assert (latest.by, latest.labels) == ("ana", {"service": "db"})
    assert await store.announced(store.now(), store.now() + SECOND) == []


async def test_what_happened_around_is_read_from_what_was_written(store: SqlStore) -> None:
    begun = store.now() - SECOND
    first = await acting(store)
    change = await applied(store, first)
    await finished(store, first)
    await finished(store, await started(store, target="http/other"))  # it has changed nothing, so it says nothing
    assert [one.state for one in await store.past("restart", begun)] == [RunState.VERIFIED]
    assert await store.past("restart", store.now() + SECOND) == []
    assert await store.past("another", begun) == []
    (touched,) = await store.touched(begun, store.now() + SECOND)
    assert (touched.record, touched.run, touched.playbook) == (change.id, first.id, "restart")
    assert (touched.before, touched.after) == ({"workers": 4}, {"workers": 6})
    assert touched.undone_at is None
    near = await store.nearby(first.incident_id, begun)
    assert [(one.labels["alertname"], one.open) for one in near] == [("HighLatency", True)]
    back = await acting(store, target="http/third")
    gone = replace(await applied(store, back), state=RecordState.UNDO_INTENDED)
    assert await store.intend_undo(back, gone) is None
    await store.settle(back, replace(gone, state=RecordState.UNDONE))
    (undone, _) = await store.touched(begun, store.now() + SECOND)
    assert undone.undone_at is not None
