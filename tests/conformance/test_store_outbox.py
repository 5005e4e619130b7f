"""Who has been told what."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.app.live import StoreClock
from responder.domain.alerts import Severity
from responder.domain.episodes import Decision, EpisodeState
from responder.domain.errors import Conflict, DeliveryError
from responder.domain.notification import Notification, Receipt
from responder.domain.runs import RunState
from responder.domain.verdicts import Verdict
from responder.ports.queues import GAP, PICTURES
from responder.ports.store import LEASE, MAX_ATTEMPTS, Gathered, OutboxItem
from responder.stores.core.accounts import EPISODES, RUNS
from responder.stores.core.digests import FIRST_AFTER
from responder.stores.core.part import LINGER
from responder.stores.core.store import SqlStore
from responder.tell.courier import Courier
from tests.conformance.building import HOUR, advance, episode, finished, incident, run, started, write

CONSOLE = "console:"
SLACK = "slack:#oncall"


@dataclass
class Failing:
    """A channel that answers 503 while it is down."""

    kind: str = "console"
    down: bool = True
    tries: int = 0

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        self.tries += 1
        if self.down:
            raise DeliveryError("it answered 503", uncertain=True)
        return {"told": True}

    async def find(self, address: str, attempt: str) -> Receipt | None:
        return None


def _ignore(name: str, /, **fields: object) -> None:
    """Take a fact and forget it."""


async def _dirty(store: SqlStore, *destinations: str, severity: Severity = Severity.HIGH) -> str:
    about = incident(store, severity=severity)
    await write(store, incidents=[about], tell={about.id: frozenset(destinations)})
    return about.id


async def _claim(store: SqlStore, skip: Sequence[str] = ()) -> OutboxItem:
    (item,) = await store.claim_outbox(10, skip)
    return item


async def test_a_new_destination_is_told_once(store: SqlStore) -> None:
    about = await _dirty(store, CONSOLE)
    item = await _claim(store)
    assert (item.incident_id, item.destination, item.want_rev, item.told_rev) == (about, CONSOLE, 1, 0)
    assert (item.receipt, item.attempt, item.attempts) == (None, "", 1)
    assert await store.claim_outbox(10, []) == []

    await store.told(item, {"ts": "1"})

    assert await store.claim_outbox(10, []) == []
    (row,) = (await store.page("outbox", {"incident": about}, 10, "")).items
    assert (row["state"], row["told_rev"]) == ("told", 1)


async def test_what_the_store_cuts_short_wears_no_message_out_and_is_not_its_first_claim_again(store: SqlStore) -> None:
    await _dirty(store, CONSOLE)
    item = await _claim(store)
    for _ in range(MAX_ATTEMPTS):
        await store.spare([item])
        assert await store.claim_outbox(10, []) == [], "its lease goes on: something may be on its way"
        advance(store, LEASE)
        assert await store.set_aside() == []
        item = await _claim(store)
        assert item.attempts == 2
    advance(store, LEASE)
    behind = await _claim(store)
    await store.spare([item])
    await store.tell_later(behind, store.now(), "an attempt that failed")
    assert (await _claim(store)).attempts == 4, "only who has the lease takes anything back"


async def test_what_happens_while_a_message_is_sent_is_told_next(store: SqlStore) -> None:
    about = await _dirty(store, CONSOLE)
    item = await _claim(store)
    await write(store, tell={about: frozenset()})
    await write(store, tell={about: frozenset({CONSOLE})})
    assert await store.claim_outbox(10, []) == []

    await store.told(item, {"ts": "1"})

    assert await store.claim_outbox(10, []) == [], "what follows within a moment is told as one"
    await write(store, tell={about: frozenset({CONSOLE})})
    assert await store.claim_outbox(10, []) == []
    advance(store, GAP)
    again = await _claim(store)
    assert (again.want_rev, again.told_rev, again.receipt) == (4, 1, {"ts": "1"})
    await store.told(again, {"ts": "1"})
    assert await store.claim_outbox(10, []) == []


async def test_what_a_message_brings_about_is_told_as_it_is_and_nobody_waits_for_it(store: SqlStore) -> None:
    one = incident(store, needs_person="look at it")
    await write(store, incidents=[one], tell={one.id: frozenset({SLACK})})
    assert await store.receipt(one.id, SLACK) is None
    await store.told(await _claim(store), {"ts": "1"})
    assert await store.receipt(one.id, SLACK) == {"ts": "1"}
    await store.beside(one.id, f"slack{PICTURES}:#oncall")
    advance(store, GAP)
    item = await _claim(store)
    assert (item.destination, item.want_rev) == ("slack_picture:#oncall", 1)
    assert await store.untold() == 0
    await store.announce(item, "first F01")
    await store.told(item, {"shown": ["first"]})
    await write(store, tell={one.id: frozenset()})
    advance(store, GAP)
    assert {(i.destination, i.want_rev) for i in await store.claim_outbox(10, [])} == {
        (SLACK, 2),
        ("slack_picture:#oncall", 2),
    }
    assert await store.untold() == 1


async def test_a_mark_reaches_every_destination_the_incident_has(store: SqlStore) -> None:
    about = await _dirty(store, CONSOLE, SLACK)
    for item in await store.claim_outbox(10, []):
        await store.told(item, {})
    advance(store, GAP)
    await write(store, tell={about: frozenset({"pagerduty:x"})})
    assert {(i.destination, i.want_rev) for i in await store.claim_outbox(10, [])} == {
        (CONSOLE, 2),
        (SLACK, 2),
        ("pagerduty:x", 1),
    }


async def test_a_run_that_moves_on_is_told(store: SqlStore) -> None:
    one = await started(store, tell=[CONSOLE])
    await store.told(await _claim(store), {})
    advance(store, GAP)
    await store.save(one)
    assert await store.claim_outbox(10, []) == [], "nothing has changed"
    (one,) = await store.claim_runs(1)
    await store.save(replace(one, state=RunState.AWAITING_APPROVAL))
    await store.told(await _claim(store), {})
    advance(store, GAP)
    (one,) = await store.claim_runs(1)
    await finished(store, one, RunState.CANCELLED)
    assert (await _claim(store)).want_rev == 3


async def test_what_waits_for_a_destination_is_due_at_once_when_that_answers_again(store: SqlStore) -> None:
    waiting = {await _dirty(store, SLACK) for _ in range(3)}
    elsewhere = await _dirty(store, CONSOLE)
    for item in await store.claim_outbox(10, []):
        await store.tell_later(item, store.now() + HOUR, "" if item.destination == SLACK else "down")
    assert await store.claim_outbox(10, []) == []
    assert await store.hurry(SLACK) == 3
    assert {item.incident_id for item in await store.claim_outbox(10, [])} == waiting - {elsewhere}
    assert await store.hurry(SLACK) == 0, "whoever tells them now is left alone"


async def test_a_leftover_attempt_is_found_after_a_crash(store: SqlStore) -> None:
    await _dirty(store, CONSOLE)
    item = await _claim(store)
    await store.announce(item, "attempt-1")
    advance(store, LEASE)
    again = await _claim(store)
    assert (again.attempt, again.attempts, again.epoch) == ("attempt-1", 2, 2)
    for late in (store.announce(item, "x"), store.told(item, {}), store.tell_later(item, store.now(), "x")):
        with pytest.raises(Conflict):
            await late
    with pytest.raises(Conflict):
        await store.give_up(item, "x")
    await store.told(again, {"ts": 1})


async def test_what_is_on_the_way_is_known_after_a_crash_and_can_be_taken_back(store: SqlStore) -> None:
    await _dirty(store, CONSOLE)
    item = await _claim(store)
    await store.announce(item, "attempt-1", {"trying": "FIXED"})
    advance(store, LEASE)
    again = await _claim(store)
    assert (again.attempt, again.receipt) == ("attempt-1", {"trying": "FIXED"})
    await store.announce(again, "", {})
    await store.tell_later(again, store.now(), "", doubtful=True)
    item = await _claim(store)
    assert (item.attempt, item.receipt, item.attempts) == ("", None, 2)
    await store.tell_later(item, store.now(), "", doubtful=True)
    assert (await _claim(store)).attempts == 2, "pacing wears out no message"


async def test_pacing_does_not_count_and_a_mark_does_not_break_it(store: SqlStore) -> None:
    about = await _dirty(store, CONSOLE)
    for _ in range(MAX_ATTEMPTS * 2):
        item = await _claim(store)
        assert item.attempts == 1
        await store.tell_later(item, store.now() + timedelta(seconds=2), "", receipt={"ts": 1})
        await write(store, tell={about: frozenset()})
        assert await store.claim_outbox(10, []) == []
        advance(store, timedelta(seconds=2))
    assert (await _claim(store)).receipt == {"ts": 1}


async def test_what_fails_too_often_is_dead_until_it_is_brought_back(store: SqlStore) -> None:
    about = await _dirty(store, CONSOLE)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        item = await _claim(store)
        assert item.attempts == attempt
        await store.tell_later(item, store.now(), "channel_not_found")
    assert await store.claim_outbox(10, []) == []
    await write(store, tell={about: frozenset()})
    assert await store.claim_outbox(10, []) == []
    assert (await store.depths())["outbox"].dead == 1
    (row,) = (await store.page("outbox", {"state": "dead"}, 10, "")).items
    assert row["error"] == "channel_not_found"

    assert await store.redrive("outbox", f"{about}|{CONSOLE}", "ann")

    item = await _claim(store)
    assert (item.attempts, item.want_rev) == (2, 2), "it may have arrived: what was told before says nothing of it"
    await store.give_up(item, "gone")
    assert (await store.depths())["outbox"].dead == 1


async def test_an_outage_that_several_replicas_see_sets_no_message_aside(store: SqlStore) -> None:
    about = await _dirty(store, CONSOLE)
    channel = Failing()

    def replica() -> Courier:
        return Courier(
            store, StoreClock(store), {"console": channel}, docs_of=lambda _: None, external_url="", on_fact=_ignore
        )

    replicas: list[Courier] = []
    for place in range(MAX_ATTEMPTS * 2):
        if place % 4 == 0:  # a restart: what they knew of the outage is gone
            replicas = [replica(), replica()]
        await replicas[place % 2].turn()
        await replicas[place % 2].drain()
        advance(store, timedelta(minutes=4))
    assert channel.tries == MAX_ATTEMPTS * 2
    channel.down = False
    again = replica()
    await again.turn()
    await again.drain()
    (row,) = (await store.page("outbox", {"incident": about}, 10, "")).items
    assert row["state"] == "told"


async def test_a_message_that_kills_the_process_is_set_aside(store: SqlStore) -> None:
    about = await _dirty(store, CONSOLE)
    for _ in range(MAX_ATTEMPTS):
        await _claim(store)
        advance(store, LEASE)
    assert await store.claim_outbox(10, []) == []
    assert await store.set_aside() == [f"outbox {about}|{CONSOLE}"]


async def _told(store: SqlStore, *destinations: str) -> str:
    """Return an incident that was told at these destinations."""
    about = await _dirty(store, *destinations)
    for item in await store.claim_outbox(10, []):
        await store.told(item, {"message of": about, "at": item.destination})
    advance(store, GAP)
    return about


async def _regrouped(store: SqlStore, old: str, heir: str, *destinations: str) -> dict[tuple[str, str], OutboxItem]:
    """Let ``heir`` take over from ``old``; return what is due after that."""
    await write(store, tell={old: frozenset(), heir: frozenset(destinations)}, heirs={old: heir})
    return {(item.incident_id, item.destination): item for item in await store.claim_outbox(10, [])}


async def test_an_heir_edits_the_message_of_the_incident_that_was_left_empty(store: SqlStore) -> None:
    old, heir = await _told(store, SLACK, CONSOLE, "pagerduty:x"), incident(store)
    await write(store, incidents=[heir])

    due = await _regrouped(store, old, heir.id, SLACK, "pagerduty:x")

    assert set(due) == {(heir.id, SLACK), (heir.id, "pagerduty:x"), (old, CONSOLE)}
    assert due[heir.id, SLACK].receipt == {"message of": old, "at": SLACK}
    assert due[heir.id, "pagerduty:x"].receipt == {"message of": old, "at": "pagerduty:x"}
    assert due[old, CONSOLE].receipt == {"message of": old, "at": CONSOLE}, "what the heir does not tell ends by itself"


async def test_what_gave_its_message_away_begins_a_new_one_when_there_is_more_to_say(store: SqlStore) -> None:
    old, heir = await _told(store, SLACK), incident(store)
    await write(store, incidents=[heir])
    due = await _regrouped(store, old, heir.id, SLACK)
    await store.told(due[heir.id, SLACK], {"message of": old})
    advance(store, GAP)

    await write(store, tell={old: frozenset()})

    item = await _claim(store)
    assert (item.incident_id, item.receipt, item.attempt) == (old, None, "")


async def test_an_heir_that_was_told_keeps_its_own_message(store: SqlStore) -> None:
    old, heir = await _told(store, SLACK), await _told(store, SLACK)
    due = await _regrouped(store, old, heir, SLACK)
    assert {key: item.receipt for key, item in due.items()} == {
        (one, SLACK): {"message of": one, "at": SLACK} for one in (old, heir)
    }


async def test_an_heir_whose_message_was_set_aside_takes_nothing_over(store: SqlStore) -> None:
    old, heir = await _told(store, SLACK), await _dirty(store, SLACK)
    await store.give_up(await _claim(store), "the channel is archived")
    due = await _regrouped(store, old, heir)
    assert {key: item.receipt for key, item in due.items()} == {(old, SLACK): {"message of": old, "at": SLACK}}


async def test_of_two_that_are_left_empty_one_hands_its_message_over(store: SqlStore) -> None:
    old, other, heir = await _told(store, SLACK), await _told(store, SLACK), incident(store)
    await write(store, incidents=[heir])
    tell = {old: frozenset[str](), other: frozenset[str](), heir.id: frozenset({SLACK})}
    await write(store, tell=tell, heirs={old: heir.id, other: heir.id})

    due = {item.incident_id: item.receipt for item in await store.claim_outbox(10, [])}

    given, kept = sorted([old, other])
    assert due == {heir.id: {"message of": given, "at": SLACK}, kept: {"message of": kept, "at": SLACK}}


async def test_a_first_post_under_way_is_looked_for_by_the_heir(store: SqlStore) -> None:
    old, heir = await _dirty(store, SLACK), incident(store)
    await write(store, incidents=[heir])
    item = await _claim(store)
    await store.announce(item, "attempt-1")

    due = await _regrouped(store, old, heir.id, SLACK)

    assert [(key, one.attempt) for key, one in due.items()] == [((heir.id, SLACK), "attempt-1")]
    with pytest.raises(Conflict):
        await store.told(item, {"ts": "1"})


async def test_an_heir_that_is_about_to_post_takes_the_message_over_instead(store: SqlStore) -> None:
    old, heir = await _told(store, SLACK), await _dirty(store, SLACK)
    item = await _claim(store)
    due = await _regrouped(store, old, heir, SLACK)
    assert due[heir, SLACK].receipt == {"message of": old, "at": SLACK}
    with pytest.raises(Conflict):
        await store.announce(item, "attempt-1")


async def test_the_most_severe_incidents_are_told_first_and_some_can_be_left_out(store: SqlStore) -> None:
    low = await _dirty(store, CONSOLE, severity=Severity.LOW)
    critical = await _dirty(store, CONSOLE, severity=Severity.CRITICAL)
    await _dirty(store, SLACK, severity=Severity.CRITICAL)
    items = await store.claim_outbox(10, [SLACK])
    assert [item.incident_id for item in items] == [critical, low]
    assert (await _claim(store)).destination == SLACK


async def test_two_replicas_never_tell_the_same_thing(store: SqlStore, replica: SqlStore) -> None:
    for _ in range(10):
        await _dirty(store, CONSOLE, SLACK)
    advance(replica, 20 * LINGER)
    claims = await asyncio.gather(*((store, replica)[number % 2].claim_outbox(3, []) for number in range(10)))
    taken = [(item.incident_id, item.destination) for claim in claims for item in claim]
    assert len(taken) == len(set(taken)) == 20


async def test_an_alert_that_comes_while_an_incident_is_read_does_not_spoil_the_reading(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = incident(store)
    first, later = episode(store, incident_id=about.id), episode(store, incident_id=about.id)
    reason = [Decision(first.id, "", Verdict.NO_MATCH, "none", store.now())]
    await write(store, incidents=[about], episodes=[first], decisions=reason)
    reads, fetch = store.prepared.accounts, store.db.fetch

    async def fetched(tx: AsyncConnection, statement: Executable, given: Mapping[str, Any]) -> Sequence[Any]:
        found = await fetch(tx, statement, given)
        # As if a slice had been committed between the two statements, each of which sees what is there by then.
        return [row for row in found if row.id != later.id] if statement is reads.episodes else found

    reason = [Decision(later.id, "", Verdict.NO_MATCH, "none", store.now())]
    await write(store, episodes=[later], decisions=reason)
    monkeypatch.setattr(store.db, "fetch", fetched)

    (account,) = (await store.accounts([about.id])).values()

    assert [one.id for one in account.episodes] == [first.id]
    assert [one.episode_id for one in account.decisions] == [first.id]


async def test_of_a_large_incident_what_matters_most_is_read_and_the_rest_is_counted(store: SqlStore) -> None:
    about = incident(store)
    ids = [f"{number:04}" for number in range(EPISODES + 30)]
    worst = episode(store, id=ids[-1], incident_id=about.id, severity=Severity.CRITICAL)
    closed = episode(store, id="a", incident_id=about.id, state=EpisodeState.CLOSED, closed_at=store.now())
    silenced = episode(store, id="b", incident_id=about.id, severity=Severity.CRITICAL, suppressed="silenced")
    others = [episode(store, id=one, incident_id=about.id, severity=Severity.LOW) for one in ids[:-1]]
    every = [run(store, id=f"r{one}", incident_id=about.id, target=f"http/{one}") for one in ids[: RUNS + 20]]
    old = store.now() - HOUR
    ended = [replace(one, state=RunState.VERIFIED, created_at=old, finished_at=old) for one in every[:-5]]
    about = replace(about, needs_person="look", needs_person_run=ended[-1].id)
    await write(
        store,
        incidents=[about],
        episodes=[closed, silenced, worst, *others],
        runs=[(one, frozenset({ids[-2]})) for one in (*ended, *every[-5:])],
        decisions=[Decision(one.id, "", Verdict.NO_MATCH, "none", store.now()) for one in (worst, *others)],
    )

    (account,) = (await store.accounts([about.id])).values()

    assert len(account.episodes) == EPISODES == len(account.decisions)
    assert worst in account.episodes
    assert not {"a", "b"} & {one.id for one in account.episodes}, "what is over or silenced comes last"
    assert len(account.runs) == RUNS + 1, "the one that a person was asked because of, too"
    assert {one.id for one in every[-5:]} | {ended[-1].id} <= {one.id for one in account.runs}
    left = account.beyond
    assert (left.episodes, left.firing, left.runs) == (32, 31, 19)
    assert left.ends == {None, RunState.READY}
    assert account.size == EPISODES + RUNS + 1 + 32 + 19


WITHIN, REST = timedelta(minutes=5), timedelta(seconds=15)
LINE = {"line": "HighLatency · shop", "word": "Firing"}


async def test_a_storm_is_more_incidents_at_one_destination_than_usual(store: SqlStore) -> None:
    for _ in range(3):
        await _dirty(store, SLACK)
    await _dirty(store, CONSOLE)
    assert not await store.crowded(SLACK, 3, WITHIN)
    assert await store.crowded(SLACK, 2, WITHIN)
    advance(store, WITHIN)
    assert not await store.crowded(SLACK, 2, WITHIN)


async def test_a_digest_is_told_like_every_message_and_says_what_its_incidents_are(store: SqlStore) -> None:
    about = {await _dirty(store, SLACK) for _ in range(3)}
    await _dirty(store, CONSOLE)
    items = await store.claim_crowd(SLACK, 10)
    assert {item.incident_id for item in items} == about
    digest = await store.gather(SLACK, [Gathered(item, LINE) for item in items], WITHIN, REST)
    assert await store.digest(digest, 10) == [LINE] * 3
    assert await store.digest(digest, 2) == [LINE] * 2
    assert [item.destination for item in await store.claim_outbox(10, [])] == [CONSOLE], "its first post waits a moment"

    advance(store, FIRST_AFTER)
    told = await _claim(store)
    assert (told.incident_id, told.destination, told.receipt, told.attempt) == (digest, SLACK, None, "")
    await store.announce(told, "attempt-1")
    await store.told(told, {"ts": "1"}, REST)
    assert await store.claim_outbox(10, []) == []


async def test_what_a_digest_tells_of_makes_it_due_only_when_it_changed(store: SqlStore) -> None:
    about = await _dirty(store, SLACK)
    (item,) = await store.claim_crowd(SLACK, 10)
    digest = await store.gather(SLACK, [Gathered(item, LINE)], WITHIN, REST)
    advance(store, FIRST_AFTER)
    await store.told(await _claim(store), {"ts": "1"}, REST)
    for line, due in ((LINE, False), ({**LINE, "word": "Fixed"}, True)):
        await write(store, tell={about: frozenset({SLACK})})
        advance(store, REST)
        (item,) = await store.claim_crowd(SLACK, 10)
        assert item.digest == digest
        assert await store.gather(SLACK, [Gathered(item, line)], WITHIN, REST) == digest
        assert bool(await store.claim_outbox(10, [])) is due


async def test_who_leaves_a_digest_stays_leased_and_has_nothing_to_edit(store: SqlStore) -> None:
    await _dirty(store, SLACK)
    (item,) = await store.claim_crowd(SLACK, 10)
    digest = await store.gather(SLACK, [Gathered(item, LINE)], WITHIN, REST)
    await write(store, tell={item.incident_id: frozenset({SLACK})})
    advance(store, REST)
    (item,) = await store.claim_crowd(SLACK, 10)
    await store.gather(SLACK, [Gathered(item, None)], WITHIN, REST)
    assert await store.digest(digest, 10) == []
    assert await store.claim_crowd(SLACK, 10) == []
    await store.told(item, {"ts": "2"})
    advance(store, REST)
    assert {one.incident_id for one in await store.claim_outbox(10, [])} == {digest}


async def test_the_next_storm_has_a_message_of_its_own(store: SqlStore) -> None:
    found = []
    for _ in range(2):
        await _dirty(store, SLACK)
        (item,) = await store.claim_crowd(SLACK, 10)
        found.append(await store.gather(SLACK, [Gathered(item, LINE)], WITHIN, REST))
        advance(store, WITHIN)
    assert found[0] != found[1]


async def test_a_lost_lease_gathers_nothing(store: SqlStore) -> None:
    await _dirty(store, SLACK)
    (item,) = await store.claim_crowd(SLACK, 10)
    advance(store, LEASE)
    (again,) = await store.claim_crowd(SLACK, 10)
    digest = await store.gather(SLACK, [Gathered(item, LINE)], WITHIN, REST)
    assert await store.digest(digest, 10) == []
    await store.gather(SLACK, [Gathered(again, LINE)], WITHIN, REST)
    assert await store.digest(digest, 10) == [LINE]
