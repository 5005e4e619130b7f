"""Decide's transactions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from responder.app import catalogue
from responder.decide.memory import Memory
from responder.decide.rules import Rules
from responder.decide.slices import Desk, Share, decide_deliveries
from responder.domain.alerts import Alert, Delivery, Notice
from responder.domain.episodes import Decision, EpisodeState
from responder.domain.errors import Conflict
from responder.domain.limits import Limits, Rate, Usage
from responder.domain.runs import Progress, RunState
from responder.domain.verdicts import Verdict
from responder.playbook.library import load_library
from responder.ports.store import Audit, Authority, DeliveryProgress, SliceChanges
from responder.stores.core.store import SqlStore
from responder.stores.postgres import PostgresDatabase
from responder.stores.sqlite import SqliteDatabase
from tests.bed.waiting import eventually
from tests.conformance.building import (
    HOUR,
    acting,
    actions_of,
    advance,
    applied,
    by_id,
    current,
    deliver,
    episode,
    finished,
    incident,
    run,
    started,
    write,
)


async def test_what_a_slice_writes_the_next_one_reads(store: SqlStore) -> None:
    about = incident(store, group_key="k" * 5000, team="payments")
    now = store.now()
    one = episode(
        store,
        incident_id=about.id,
        labels={"alertname": "Üben", 'odd"name': "x"},
        flaps=(now, now + timedelta(microseconds=1)),
        reconsider_at=now,
        after="restart",
    )
    await write(store, episodes=[one], incidents=[about])

    async with store.slice() as slice_:
        assert await slice_.episodes_by_key([(one.source, one.fingerprint), ("am", "other")]) == [one]
        assert await slice_.due_episodes(10) == [one]
        assert await slice_.incidents([(about.source, about.receiver, about.group_key)], []) == [about]
        assert await slice_.incidents([], [about.id]) == [about]
        assert await slice_.others_of([about.id, "none"]) == {about.id: None, "none": None}
    async with store.slice() as slice_:
        assert await slice_.others_of([about.id, "none"]) == {about.id: one.severity, "none": None}


async def test_an_exception_leaves_nothing_behind(store: SqlStore) -> None:
    one = episode(store)

    async def fail() -> None:
        async with store.slice() as slice_:
            await slice_.write(SliceChanges(episodes=[one]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.slice() as slice_:
        assert await slice_.episodes_by_key([(one.source, one.fingerprint)]) == []


async def test_an_alert_has_one_open_or_late_episode(store: SqlStore) -> None:
    first = episode(store)
    await write(store, episodes=[first])
    with pytest.raises(Conflict):
        await write(store, episodes=[episode(store, fingerprint=first.fingerprint, state=EpisodeState.LATE)])

    closed = replace(first, state=EpisodeState.CLOSED, closed_at=store.now())
    second = episode(store, fingerprint=first.fingerprint)
    await write(store, episodes=[closed, second])

    async with store.slice() as slice_:
        assert (await current(slice_, first)).id == second.id


@pytest.mark.parametrize("ids", [("1", "2"), ("2", "1")], ids=["as usual", "wall clock set back"])
async def test_an_episode_ends_and_the_next_one_begins_in_one_slice_whichever_has_the_smaller_id(
    store: SqlStore, ids: tuple[str, str]
) -> None:
    first = episode(store, id=ids[0])
    await write(store, episodes=[first])
    second = episode(store, id=ids[1], fingerprint=first.fingerprint)
    async with store.slice() as slice_:
        known = await current(slice_, first)
        ended = replace(known, state=EpisodeState.CLOSED, closed_at=store.now())
        await slice_.write(SliceChanges(episodes=[ended, second]))
    async with store.slice() as slice_:
        assert (await current(slice_, first)).id == second.id


async def test_of_closed_episodes_the_latest_counts(store: SqlStore) -> None:
    now = store.now()
    closed = [
        episode(store, fingerprint="f", state=EpisodeState.CLOSED, closed_at=now - timedelta(minutes=age))
        for age in (3, 1, 2)
    ]
    await write(store, episodes=closed)
    async with store.slice() as slice_:
        assert await slice_.episodes_by_key([("am", "f")]) == [closed[1]]


async def test_of_two_slices_that_open_the_same_episode_one_gives_way(store: SqlStore, replica: SqlStore) -> None:
    async def open_it(on: SqlStore) -> str:
        async with on.slice() as slice_:
            known = await slice_.episodes_by_key([("am", "f")])
            await asyncio.sleep(0)
            if not known:
                await slice_.write(SliceChanges(episodes=[episode(on, fingerprint="f")]))
            return "found" if known else "opened"

    answers = await asyncio.gather(*(open_it((store, replica)[n % 2]) for n in range(6)), return_exceptions=True)

    assert answers.count("opened") == 1
    assert all(isinstance(answer, Conflict) or answer in ("found", "opened") for answer in answers)


async def test_slices_that_meet_wait_for_each_other(store: SqlStore, replica: SqlStore) -> None:
    one = episode(store, flaps=())
    await write(store, episodes=[one])

    async def flap(on: SqlStore) -> None:
        async with on.slice() as slice_:
            found = await current(slice_, one)
            await asyncio.sleep(0)
            await slice_.write(SliceChanges(episodes=[replace(found, flaps=(*found.flaps, on.now()))]))

    await asyncio.gather(*(flap((store, replica)[n % 2]) for n in range(10)))

    async with store.slice() as slice_:
        assert len((await current(slice_, one)).flaps) == 10


@pytest.mark.promise(12)
@pytest.mark.parametrize("earlier", [False, True])
async def test_an_end_that_is_decided_beside_its_beginning_ends_it(
    store: SqlStore, replica: SqlStore, *, earlier: bool
) -> None:
    if replica is store:
        pytest.skip("SQLite has one writer")
    if earlier:
        old = store.now() - HOUR
        was = {"state": EpisodeState.CLOSED, "starts_at": old, "opened_at": old, "closed_at": old + HOUR / 2}
        await write(store, episodes=[episode(store, fingerprint="f", **was)])
    await deliver(store, "begins", "ends")
    claimed = {one.id: one for one in await store.claim_deliveries(2)}
    now = store.now()
    begins, ends = (Alert(status, {}, {}, now, None, "", "f") for status in ("firing", "resolved"))

    async with store.slice() as slice_:
        await decide_deliveries(slice_, [_share(claimed["begins"], begins)], _desk())
        ending = asyncio.create_task(_decided(replica, _share(claimed["ends"], ends)))
        await eventually(lambda: _waits_or_done(store, ending))
    await ending

    states = [one["state"] for one in (await by_id(store, "episodes")).values()]
    assert states == ["closed"] * (1 + earlier)
    statuses = [one["status"] for one in (await by_id(store, "incidents")).values()]
    assert statuses == ["resolved"]


def _share(delivery: Delivery, *alerts: Alert) -> Share:
    return Share(delivery, Notice("responder", "{}", {}, "", alerts), 0, alerts)


def _desk() -> Desk:
    return Desk(Rules(), load_library([], catalogue(), None, {}), Memory())


async def _decided(store: SqlStore, share: Share) -> None:
    async with store.slice() as slice_:
        await decide_deliveries(slice_, [share], _desk())


async def _waits_or_done(store: SqlStore, task: "asyncio.Task[None]") -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with store.db.reading() as tx:
        return task.done() or bool(await tx.scalar(text(waiting)))


async def test_an_incident_is_open_once_for_a_group_and_team(store: SqlStore) -> None:
    first = incident(store)
    await write(store, incidents=[first, incident(store, group_key=first.group_key, team="payments")])
    with pytest.raises(Conflict):
        await write(store, incidents=[incident(store, group_key=first.group_key)])

    await write(store, incidents=[replace(first, resolved_at=store.now(), closed_reason="resolved")])
    await write(store, incidents=[incident(store, group_key=first.group_key)])


async def test_due_episodes_are_those_whose_time_has_come(store: SqlStore) -> None:
    now = store.now()
    soon = episode(store, reconsider_at=now + timedelta(seconds=10))
    closed = episode(store, reconsider_at=now, state=EpisodeState.CLOSED, closed_at=now)
    await write(store, episodes=[soon, closed, episode(store)])

    async with store.slice() as slice_:
        assert await slice_.due_episodes(10) == []
    advance(store, timedelta(seconds=10))
    async with store.slice() as slice_:
        assert await slice_.due_episodes(10) == [soon]


async def test_decisions_of_one_kind_are_one_row_with_a_count(store: SqlStore) -> None:
    one = episode(store)
    at = store.now()
    first = Decision(one.id, "restart", Verdict.BUSY, "run 1", at, target="http/a", retry_at=at + HOUR)
    await write(store, episodes=[one], decisions=[first])
    later = replace(first, reason="run 2", at=at + timedelta(minutes=1))
    await write(store, decisions=[later, replace(first, verdict=Verdict.PAUSED)])

    kept = (await store.page("decisions", {"verdict": "busy"}, 10, "")).items
    assert [(row["count"], row["reason"]) for row in kept] == [(2, "run 2")]
    assert kept[0]["first_at"] != kept[0]["last_at"]
    assert kept[0]["episode"] == one.id


async def test_runs_near_are_those_on_above_and_below_and_those_of_the_episodes(store: SqlStore) -> None:
    one = episode(store)
    target = "eu/deployment/shop/api"
    kept = {
        name: run(store, target=name)
        for name in (
            target,
            "eu/deployment/shop",
            target + "/x",
            target + "2",
            "eu/deployment/shop/ap",
            "us/deployment",
        )
    }
    until = store.now() + HOUR
    over = run(store, target="us/x", state=RunState.VERIFIED, finished_at=store.now(), effects=1)
    over = replace(over, progress=Progress(left_alone_until=until))
    await write(
        store, episodes=[one], runs=[*((r, frozenset[str]()) for r in kept.values()), (over, frozenset({one.id}))]
    )

    async with store.slice() as slice_:
        near = {fact.id: fact for fact in await slice_.runs_near([target], [one.id], store.now())}
        assert set(near) == {kept[target].id, kept["eu/deployment/shop"].id, kept[target + "/x"].id, over.id}
        assert near[over.id].episodes == {one.id}
        assert (near[over.id].effects, near[over.id].state) == (1, RunState.VERIFIED)
        assert (near[over.id].left_alone_until, near[kept[target].id].left_alone_until) == (until, None)
        assert await slice_.runs_near([], [], store.now()) == []
        assert len(await slice_.runs_near([], [one.id], store.now())) == 1


async def test_runs_that_changed_something_near_and_ended_lately_are_near(store: SqlStore) -> None:
    target = "eu/deployment/shop/api"
    ended = {}
    for name in (target, "eu/deployment/shop", target + "/x", target + "2"):
        one = await acting(store, target=name, depth=2, caused_by="r0")
        await applied(store, one)
        ended[name] = (await finished(store, one)).id
    idle = await acting(store, target=target)
    await finished(store, idle, RunState.SKIPPED)
    since = store.now() - HOUR

    async with store.slice() as slice_:
        near = {fact.id: fact for fact in await slice_.runs_near([target], [], since)}
        assert set(near) == {ended[target], ended["eu/deployment/shop"], ended[target + "/x"]}
        fact = near[ended[target]]
        assert fact.depth == 2
        assert fact.began_at is not None
        assert fact.finished_at is not None
        assert fact.began_at <= fact.finished_at
        assert await slice_.runs_near([target], [], store.now()) == []
    (listed,) = (await store.page("runs", {"id": ended[target]}, 1, "")).items
    assert (listed["caused_by"], listed["depth"]) == ("r0", 2)


async def test_a_run_that_ended_cannot_be_joined(store: SqlStore) -> None:
    late = episode(store)
    await write(store, episodes=[late])
    one = await acting(store)
    await write(store, joins=[(one.id, late.id)])
    await finished(store, one)

    with pytest.raises(Conflict):
        await write(store, joins=[(one.id, late.id)])


async def test_unfinished_runs_are_counted_by_incident(store: SqlStore) -> None:
    one = await acting(store)
    async with store.slice() as slice_:
        assert await slice_.unfinished_runs_of([one.incident_id, "none"]) == {one.incident_id: 1, "none": 0}
    await finished(store, one)
    async with store.slice() as slice_:
        assert await slice_.unfinished_runs_of([one.incident_id]) == {one.incident_id: 0}


async def test_usage_counts_effects_slots_ends_and_failures(store: SqlStore) -> None:
    limits = Limits(per_playbook=Rate(9, HOUR), concurrent=9)
    failed = await acting(store)
    await applied(store, failed, Authority(Limits(per_target=Rate(9, HOUR)), effects=2))
    async with store.slice() as slice_:
        pair = (failed.playbook, failed.target)
        usage = (await slice_.usage({pair: limits}))[pair]
        assert (len(usage.on_target), len(usage.by_playbook), usage.running) == (2, 2, 1)
        assert (usage.last_end, usage.unsuccessful) == (None, 0)
    await finished(store, failed, RunState.ROLLED_BACK)

    async with store.slice() as slice_:
        other = (failed.playbook, "http/other")
        stranger = ("scale", failed.target)
        usages = await slice_.usage(dict.fromkeys([pair, other, stranger], limits))
        assert len(usages[pair].on_target) == 1, "the unused reservation was given back"
        assert (usages[pair].running, usages[pair].unsuccessful) == (0, 1)
        assert usages[pair].last_end is not None
        assert (len(usages[other].by_playbook), usages[other].on_target) == (1, ())
        assert (usages[stranger].unsuccessful, usages[stranger].last_end) == (0, usages[pair].last_end)
        assert await slice_.usage({}) == {}

    advance(store, timedelta(hours=25))
    async with store.slice() as slice_:
        assert (await slice_.usage({pair: limits}))[pair] == Usage()


async def test_quarantines_reach_up_and_down(store: SqlStore) -> None:
    one = await acting(store, target="eu/node/worker-1")
    await finished(store, one, RunState.UNKNOWN, quarantine="nobody knows")
    async with store.slice() as slice_:
        targets = ["eu/node/worker-1", "eu/node", "eu/node/worker-1/disk", "eu/node/worker-10"]
        assert await slice_.quarantined(targets) == dict.fromkeys(targets[:3], "nobody knows")


async def test_a_slice_of_two_hundred_alerts_takes_a_fixed_number_of_statements(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.stores.sqlite._PERSIST_EVERY", HOUR)  # a clock that is kept meanwhile is one more
    counts = [await _statements_of(store, alerts, monkeypatch) for alerts in (1, 2, 200)][
        1:
    ]  # at first the driver learns the types
    assert counts[0] == counts[1]
    # SQLite writes table by table: there are no round trips to save. One of them hands pages over, when alerts regroup.
    assert counts[1] <= (16 if "Sqlite" in type(store.db).__name__ else 13)


async def _statements_of(store: SqlStore, alerts: int, monkeypatch: pytest.MonkeyPatch) -> int:
    about, empty = incident(store), incident(store)
    await write(store, incidents=[empty], tell={empty.id: frozenset({"console:"})})
    episodes = [episode(store, incident_id=about.id) for _ in range(alerts)]
    runs = [run(store, target=f"http/{one.id}", incident_id=about.id) for one in episodes]
    ids = [f"{alerts}-{number}" for number in range(3)]
    await deliver(store, *ids)
    claimed = {one.id: one for one in await store.claim_deliveries(10)}
    async with _listening(store, monkeypatch) as executed, store.slice() as slice_:
        await slice_.episodes_by_key([(one.source, one.fingerprint) for one in episodes])
        await slice_.incidents([(about.source, about.receiver, about.group_key)], [])
        await slice_.others_of([about.id])
        await slice_.unfinished_runs_of([about.id])
        await slice_.runs_near([one.target for one in runs], [one.id for one in episodes], store.now())
        await slice_.usage({(one.playbook, one.target): Limits(per_target=Rate(1, HOUR)) for one in runs})
        await slice_.quarantined([one.target for one in runs])
        await slice_.pauses()
        await slice_.write(
            SliceChanges(
                episodes=episodes,
                incidents=[about],
                decisions=[Decision(one.id, "restart", Verdict.RUN, "", slice_.now) for one in episodes],
                runs=[(made, frozenset({one.id})) for made, one in zip(runs, episodes, strict=True)],
                tell={about.id: frozenset({"console:", "slack:#a"}), empty.id: frozenset()},
                heirs={empty.id: about.id},
                progress=[DeliveryProgress(one, claimed[one].epoch, 1, done=True) for one in ids],
                audit=[Audit("run.created", one.id) for one in runs],
            )
        )
    return len(executed)


@asynccontextmanager
async def _listening(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """Hear every statement but those that begin and end a transaction."""
    executed: list[str] = []

    def hear(statement: str) -> None:
        if "clock_high_water" not in statement and not statement.startswith(("BEGIN", "COMMIT")):
            executed.append(statement)

    if isinstance(store.db, PostgresDatabase):
        async with store.db.reading() as tx:
            raw = store.db.connections.raw(tx)  # the one used last is used next
        with raw.query_logger(lambda record: hear(record.query)):
            yield executed
        return
    assert isinstance(store.db, SqliteDatabase)
    assert store.db._writer is not None
    below = (await store.db._writer.get_raw_connection()).driver_connection
    assert below is not None
    with monkeypatch.context() as patch:
        for name in ("execute", "execute_fetchall", "executemany"):
            patch.setattr(below, name, _heard(getattr(below, name), hear))
        yield executed


def _heard(method: Callable[..., object], hear: Callable[[str], None]) -> Callable[..., object]:
    def call(statement: str, *given: object) -> object:
        hear(f"{statement} {given}")
        return method(statement, *given)

    return call


async def test_a_lost_lease_undoes_the_whole_slice(store: SqlStore) -> None:
    await deliver(store, "d")
    (one,) = await store.claim_deliveries(1)
    lost = episode(store)
    with pytest.raises(Conflict):
        await write(store, episodes=[lost], progress=[DeliveryProgress("d", one.epoch + 1, 1, done=True)])
    async with store.slice() as slice_:
        assert await slice_.episodes_by_key([(lost.source, lost.fingerprint)]) == []


async def test_audit_entries_come_with_the_slice(store: SqlStore) -> None:
    await write(store, audit=[Audit("incident.opened", "i1", "ann", {"n": 1})])
    assert await actions_of(store, "i1") == ["incident.opened"]
    (entry,) = (await store.page("audit", {"subject": "i1"}, 1, "")).items
    assert (entry["actor"], entry["details"]) == ("ann", {"n": 1})


async def test_text_that_a_database_cannot_hold_is_mended(store: SqlStore) -> None:
    one = episode(store, labels={"a": "x\x00y"}, annotations={"b": "\ud800"}, generator_url="u\x00")
    await write(store, episodes=[one])
    async with store.slice() as slice_:
        found = await current(slice_, one)
    assert found.labels == {"a": "x\ufffdy"}
    assert found.generator_url == "u\ufffd"
    assert "\ud800" not in found.annotations["b"]


async def test_what_started_is_listed(store: SqlStore) -> None:
    one = await started(store)
    assert (await by_id(store, "runs"))[one.id]["incident"] == one.incident_id
