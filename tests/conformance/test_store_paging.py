"""Pages that are held back: each goes out once, whoever looks, and a restart forgets none."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select

from responder.domain.episodes import EpisodeState
from responder.domain.notification import ASKED_TO_LOOK
from responder.domain.runs import RunState
from responder.ports.queues import GAP
from responder.stores.core.part import LINGER
from responder.stores.core.store import SqlStore
from responder.stores.registry import open_store
from responder.stores.schema import holds
from responder.tell.headline import unsolved
from tests.conformance.building import advance, episode, finished, incident, started, write

PAGER = "pagerduty:payments"
AFTER = timedelta(minutes=5)


async def _tell_all(store: SqlStore) -> None:
    """Tell everybody what there is, and let the pause pass that follows."""
    for item in await store.claim_outbox(10, []):
        await store.told(item, {})
    advance(store, GAP)


async def _held(store: SqlStore, after: timedelta = AFTER) -> str:
    """Return an incident with an open episode, a run under way and a page that is held back."""
    one = await started(store, tell=[PAGER])
    await write(store, hold={one.incident_id: store.now() + after})
    await _tell_all(store)
    return one.incident_id


async def _due(store: SqlStore) -> list[str]:
    return [account.incident.id for account in await store.holds_due(10)]


async def _overdue(store: SqlStore, incident_id: str) -> bool:
    account = await store.account(incident_id)
    assert account is not None
    return account.overdue


async def test_a_page_is_held_back_until_its_time_is_up(store: SqlStore) -> None:
    about = await _held(store)
    assert await _due(store) == []
    advance(store, AFTER - timedelta(seconds=2))
    assert await _due(store) == []
    advance(store, timedelta(seconds=3))
    assert await _due(store) == [about]
    assert not await _overdue(store, about)


async def test_a_page_goes_out_once_and_marks_whoever_is_told(store: SqlStore) -> None:
    about = await _held(store)
    advance(store, 2 * AFTER)

    assert await store.call(about, AFTER, [PAGER, "console:"])

    assert await _overdue(store, about)
    advance(store, LINGER)
    assert {(one.destination, one.want_rev) for one in await store.claim_outbox(10, [])} == {
        (PAGER, 2),
        ("console:", 1),
    }
    assert not await store.call(about, AFTER, [PAGER]), "it is out already"
    assert await _due(store) == []
    (entry,) = (await store.page("audit", {"action": "incident.overdue"}, 10, "")).items
    assert entry["subject"] == about


async def test_of_two_replicas_one_lets_a_page_go(store: SqlStore, replica: SqlStore) -> None:
    about = await _held(store, timedelta())
    called = await asyncio.gather(*(one.call(about, AFTER, [PAGER]) for one in (store, replica) for _ in range(3)))
    assert sorted(called) == [False] * 5 + [True]
    (item,) = await store.claim_outbox(10, [])
    assert item.want_rev == 2


async def test_a_page_that_is_out_is_looked_at_again_and_not_told_again(store: SqlStore) -> None:
    about = await _held(store, timedelta())
    assert await store.call(about, AFTER, [PAGER])
    await _tell_all(store)
    advance(store, AFTER)
    assert await _due(store) == [about]
    assert not await store.call(about, AFTER, [PAGER])
    assert await store.claim_outbox(10, []) == []
    assert await _due(store) == []
    assert await _overdue(store, about)


async def test_one_that_is_over_for_now_is_held_back_anew(store: SqlStore) -> None:
    about = await _held(store, timedelta())
    assert await store.call(about, AFTER, [PAGER])
    advance(store, AFTER)
    await store.hold_on(about, AFTER)
    assert not await _overdue(store, about)
    assert await _due(store) == []
    advance(store, AFTER)
    assert await store.call(about, AFTER, [PAGER])


async def test_the_first_time_stands_whatever_is_heard_of_later(store: SqlStore) -> None:
    about = await _held(store)
    await write(store, hold={about: store.now() + 10 * AFTER})
    advance(store, AFTER)
    assert await _due(store) == [about]
    assert await store.call(about, AFTER, [])
    await write(store, hold={about: store.now() + 10 * AFTER})
    assert await _overdue(store, about)


async def test_a_person_takes_a_page_for_good(store: SqlStore) -> None:
    for wait in (AFTER, timedelta()):  # before it went out, and after
        about = await _held(store, wait)
        if not wait:
            assert await store.call(about, AFTER, [PAGER])
        listed = (await store.page("incidents", {"id": about}, 1, "")).items[0]
        assert listed["needs_person"] == ("" if wait else ASKED_TO_LOOK)
        assert listed["acknowledged_by"] is None
        assert await store.acknowledge(about, "ada")
        assert (await store.page("incidents", {"id": about}, 1, "")).items[0]["needs_person"] == ""
        assert not await _overdue(store, about)
        await write(store, hold={about: store.now()})
        advance(store, 2 * AFTER)
        assert about not in await _due(store)
        assert not await store.call(about, AFTER, [PAGER])
        assert not await store.acknowledge(about, "ada"), "there is nothing to take any more"


async def test_a_page_of_a_closed_incident_goes_with_it(store: SqlStore) -> None:
    one = await started(store, tell=[PAGER])
    await write(store, hold={one.incident_id: store.now()})
    (firing,) = (await store.account(one.incident_id)).episodes  # type: ignore[union-attr] # it is there
    await write(store, episodes=[episode(store, id=firing.id, state=EpisodeState.CLOSED, incident_id=one.incident_id)])
    await finished(store, one, RunState.VERIFIED)
    (account,) = await store.holds_due(10)
    assert not account.incident.open
    assert not unsolved(account)
    await store.hold_on(one.incident_id, timedelta())
    assert await _due(store) == []


async def _regrouped(store: SqlStore, about: str) -> str:
    """Let the alerts of an incident move to a new one, which begins to hold a page of its own back."""
    account = await store.account(about)
    assert account is not None
    left = replace(account.incident, resolved_at=store.now(), closed_reason="regrouped")
    heir = incident(store)
    moved = [replace(one, incident_id=heir.id) for one in account.episodes]
    await write(
        store,
        incidents=[left, heir],
        episodes=moved,
        tell={left.id: frozenset(), heir.id: frozenset({PAGER})},
        hold={heir.id: store.now() + AFTER},
        heirs={left.id: heir.id},
    )
    return heir.id


async def test_a_page_that_is_held_back_moves_with_its_alerts_and_keeps_its_time(store: SqlStore) -> None:
    about = await _held(store)
    advance(store, AFTER / 2)
    heir = await _regrouped(store, about)
    advance(store, AFTER / 2 + timedelta(seconds=1))
    due = await _due(store)
    assert heir in due
    assert await store.call(heir, AFTER, [PAGER])


async def test_a_page_that_is_out_or_taken_moves_with_its_alerts(store: SqlStore) -> None:
    about = await _held(store, timedelta())
    assert await store.call(about, AFTER, [PAGER])
    heir = await _regrouped(store, about)
    assert await _overdue(store, heir)
    assert await store.acknowledge(heir, "ada")
    again = await _regrouped(store, heir)
    assert not await _overdue(store, again)
    assert not await store.acknowledge(again, "ada"), "a person has it already"


async def test_an_heir_whose_page_is_out_keeps_it(store: SqlStore) -> None:
    about, other = await _held(store), await _held(store, timedelta())
    assert await store.call(other, AFTER, [PAGER])
    marked: dict[str, frozenset[str]] = {about: frozenset(), other: frozenset()}
    await write(store, tell=marked, heirs={about: other})
    assert await _overdue(store, other)


async def test_a_restart_forgets_no_page(store: SqlStore, store_url: str) -> None:
    about = await _held(store, -AFTER)
    await store.close()
    again = open_store(store_url)
    await again.open()
    assert [account.incident.id for account in await again.holds_due(10)] == [about]
    assert await again.call(about, AFTER, [PAGER])
    await again.close()


async def test_an_overdue_page_that_is_not_told_counts_as_untold(store: SqlStore) -> None:
    about = await _held(store, timedelta())
    assert await store.untold() == 0
    assert await store.call(about, AFTER, [PAGER])
    assert await store.untold() == 1
    await _tell_all(store)
    assert await store.untold() == 0


async def test_what_nobody_remembers_is_deleted(store: SqlStore) -> None:
    gone = incident(store, resolved_at=store.now() - timedelta(days=500))
    await write(store, incidents=[gone], hold={gone.id: store.now()})
    await store.expire({"history": timedelta(days=400)}, 100)
    assert await store.holds_due(10) == []
    async with store.db.reading() as tx:
        assert (await tx.execute(select(holds))).all() == []
