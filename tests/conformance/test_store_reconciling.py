"""What the stores tell of a source when it is compared with what it shows."""

from dataclasses import replace
from datetime import timedelta

from responder.domain.episodes import EpisodeState, Group
from responder.domain.limits import Limits
from responder.domain.verdicts import Verdict
from responder.ports.store import Authority
from responder.stores.core.store import SqlStore
from tests.conformance.building import acting, advance, episode, incident, record, started, write

MINUTE = timedelta(minutes=1)


async def test_a_turn_is_taken_once_by_whichever_replica_comes_first(store: SqlStore, replica: SqlStore) -> None:
    assert await store.its_turn("reconcile/am", MINUTE)
    assert not await replica.its_turn("reconcile/am", MINUTE)
    assert await replica.its_turn("reconcile/other", MINUTE)
    advance(store, MINUTE)
    advance(replica, timedelta())
    assert await store.its_turn("reconcile/am", MINUTE)
    assert not await store.its_turn("reconcile/am", MINUTE)


async def test_what_is_held_of_a_source_comes_in_pages(store: SqlStore) -> None:
    about = incident(store)
    since = store.now()
    every = [episode(store, incident_id=about.id, fingerprint=f"{number:016x}") for number in range(5)]
    every[1] = replace(every[1], suppressed="silenced")
    every[2] = replace(every[2], missing_since=since)
    every[3] = replace(every[3], state=EpisodeState.CLOSED, closed_at=since)
    other = episode(store, source="other", fingerprint="0" * 16)
    await write(store, incidents=[about], episodes=[*every, other])
    first = await store.held_of("am", "", 3)
    rest = await store.held_of("am", first[-1].fingerprint, 3)
    assert [one.id for one in [*first, *rest]] == [every[number].id for number in (0, 1, 2, 4)]
    assert (first[1].suppressed, first[2].missing_since, first[0].evidence_at) == (
        "silenced",
        since,
        every[0].evidence_at,
    )
    found = await store.in_groups([every[0].id, every[3].id, "nowhere"])
    assert found == [
        (every[0], Group("am", about.receiver, about.group_key, about.group_labels, about.external_url)),
    ]


async def test_a_group_stays_cut_short_until_it_is_completed_and_when_it_is_again(store: SqlStore) -> None:
    groups = [Group("am", "r", f"k{number}", {"a": "b"}, "http://am") for number in range(2)]
    await write(store, truncated=groups)
    cuts = await store.cut_groups("am", 10)
    assert sorted(cut.group.group_key for cut in cuts) == ["k0", "k1"]
    assert await store.cut_groups("other", 10) == []
    advance(store, MINUTE)
    await write(store, truncated=groups[:1])
    await store.completed(cuts)
    assert [cut.group for cut in await store.cut_groups("am", 10)] == groups[:1]
    await store.completed([])


async def test_the_alerts_of_a_run_are_those_that_are_open(store: SqlStore) -> None:
    run = await started(store)
    about = [episode(store, fingerprint=f"{number:016x}") for number in range(2)]
    closed = episode(store, state=EpisodeState.CLOSED, closed_at=store.now())
    await write(store, episodes=[*about, closed], joins=[(run.id, one.id) for one in (*about, closed)])
    found = await store.alerts_of(run)
    assert {("am", one.fingerprint) for one in about} <= set(found)
    assert ("am", closed.fingerprint) not in found


async def test_what_the_sender_showed_is_evidence_for_an_effect(store: SqlStore) -> None:
    limits = Limits(max_age=MINUTE)
    run = await acting(store)
    advance(store, 2 * MINUTE)
    old = await store.intend(run, record(store, run), Authority(limits, effects=1))
    assert old is not None
    assert old.verdict is Verdict.STALE
    seen = Authority(limits, effects=1, evidence_at=store.now() - timedelta(seconds=5))
    assert await store.intend(run, record(store, run), seen) is None
