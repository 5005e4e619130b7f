"""The audit log as it was sealed: whatever is changed behind that shows, on both databases."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import text

from responder.domain.limits import Pause
from responder.domain.seals import Head, Verified
from responder.ports.store import Audit
from responder.stores.core.database import Order
from responder.stores.core.store import SqlStore
from tests.conformance.building import HOUR, advance, write

KEEP = timedelta(days=400)


async def say(store: SqlStore, *subjects: str) -> None:
    await write(store, audit=[Audit("run.approved", one, "ann", {"comment": "go", "n": 1.5}) for one in subjects])


async def seal(store: SqlStore) -> Head:
    head, more = await store.seal_audit(1000)
    assert head is not None
    assert not more
    return head


async def three_segments(store: SqlStore) -> list[Head]:
    heads = []
    for names in (("a1", "a2", "a3"), ("b1", "b2"), ("c1", "c2")):
        await say(store, *names)
        heads.append(await seal(store))
        advance(store, timedelta(seconds=1))
    return heads


async def verified(store: SqlStore, heads: Sequence[Head] = ()) -> Verified:
    return await store.verify_audit(heads, KEEP)


async def tamper(store: SqlStore, *statements: str) -> None:
    async with store.db.writing(Order.CONTROL) as tx:
        for one in statements:
            await tx.execute(text(one))


async def test_a_log_that_nobody_touched_is_as_it_was_sealed(store: SqlStore) -> None:
    heads = await three_segments(store)
    await say(store, "later")
    found = await verified(store, heads)
    assert found == Verified(segments=3, entries=7, unsealed=1, heads=3, problems=())
    assert [one.number for one in heads] == [1, 2, 3]
    assert await store.seal_audit(1000) != (heads[-1], False), "what came later is sealed next"
    again = await seal(store)
    assert await seal(store) == again, "nothing new, nothing to seal"


@pytest.mark.promise(18)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'bob' WHERE subject = 'b1'",
        "UPDATE audit SET action = 'run.rejected' WHERE subject = 'b1'",
        "UPDATE audit SET subject = 'b9' WHERE subject = 'b1'",
        'UPDATE audit SET details = \'{"comment": "stop", "n": 1.5}\' WHERE subject = \'b1\'',
        "UPDATE audit SET at = (SELECT min(at) FROM audit) WHERE subject = 'b2'",
    ],
)
async def test_an_edit_of_any_part_of_an_entry_shows(store: SqlStore, statement: str) -> None:
    heads = await three_segments(store)
    await tamper(store, statement)
    for known in ((), heads):
        assert (await verified(store, known)).problems == ("segment 2: what is there now is not what was sealed",)


@pytest.mark.promise(18)
async def test_a_deleted_entry_shows(store: SqlStore) -> None:
    await three_segments(store)
    await tamper(store, "DELETE FROM audit WHERE subject = 'a2'")
    assert (await verified(store)).problems == ("segment 1: 1 of its entries is gone",)


@pytest.mark.promise(18)
async def test_entries_in_another_order_show(store: SqlStore) -> None:
    await three_segments(store)
    await tamper(
        store,
        "UPDATE audit SET subject = 'swap' WHERE subject = 'b1'",
        "UPDATE audit SET subject = 'b1' WHERE subject = 'b2'",
        "UPDATE audit SET subject = 'b2' WHERE subject = 'swap'",
    )
    assert (await verified(store)).problems == ("segment 2: what is there now is not what was sealed",)


async def test_an_entry_that_is_put_in_between_shows(store: SqlStore) -> None:
    await three_segments(store)
    advance(store, HOUR)
    await tamper(
        store,
        "UPDATE audit SET seq = seq + 100 WHERE subject = 'c2'",
        "INSERT INTO audit (seq, at, actor, action, subject, details) "
        "SELECT seq - 100, at, actor, action, 'forged', details FROM audit WHERE subject = 'c2'",
    )
    found = await verified(store)
    assert found.problems == ("segment 3: what is there now is not what was sealed",)


async def test_an_entry_in_a_number_that_was_left_out_shows_once_nothing_may_come_late(store: SqlStore) -> None:
    await say(store, "a1", "a2", "a3")
    await tamper(store, "DELETE FROM audit WHERE subject = 'a2'")  # a number that was given and rolled back, say
    await seal(store)
    advance(store, HOUR)
    await tamper(
        store,
        "INSERT INTO audit (seq, at, actor, action, subject, details) "
        "SELECT seq + 1, at, actor, action, 'forged', details FROM audit WHERE subject = 'a1'",
    )
    said = "1 entries stand between sealed ones and were not there when those were sealed"
    assert (await verified(store)).problems == (said,)


async def test_a_segment_that_is_gone_with_its_entries_shows(store: SqlStore) -> None:
    await three_segments(store)
    await tamper(
        store, "DELETE FROM audit WHERE subject IN ('b1', 'b2')", "DELETE FROM audit_segments WHERE number = 2"
    )
    assert (await verified(store)).problems == ("segments 2 to 2 are gone",)


@pytest.mark.promise(18)
async def test_an_end_that_is_cut_off_shows_by_the_heads_outside(store: SqlStore) -> None:
    heads = await three_segments(store)
    await tamper(
        store, "DELETE FROM audit WHERE subject IN ('c1', 'c2')", "DELETE FROM audit_segments WHERE number = 3"
    )
    assert (await verified(store)).problems == (), "the store alone cannot know"
    (problem,) = (await verified(store, heads)).problems
    assert problem.startswith("the log ends with segment 2; segment 3 was sealed at ")


async def test_a_beginning_that_is_cut_off_before_its_time_shows(store: SqlStore) -> None:
    heads = await three_segments(store)
    await tamper(store, "DELETE FROM audit WHERE subject LIKE 'a%'", "DELETE FROM audit_segments WHERE number = 1")
    (problem,) = (await verified(store, heads)).problems
    assert problem.startswith("segment 1, sealed at ")
    assert problem.endswith(" is gone before its time")


async def test_a_log_that_is_forged_and_sealed_anew_shows_by_the_heads_outside(store: SqlStore) -> None:
    heads = await three_segments(store)
    await tamper(store, "UPDATE audit SET actor = 'bob' WHERE subject = 'a1'", "DELETE FROM audit_segments")
    for _ in range(3):
        await store.seal_audit(3)
    assert (await verified(store)).problems == ()
    problems = (await verified(store, heads)).problems
    assert problems
    assert problems[0].startswith("segment 1 is another one than the one that was sealed at ")


async def test_what_is_committed_late_is_sealed_with_the_next_segment(store: SqlStore, replica: SqlStore) -> None:
    if store is replica:
        pytest.skip("one writer at a time: nothing is committed late")
    await say(store, "first")
    written, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with replica.db.writing(Order.CONTROL) as tx:
            await tx.execute(
                text("INSERT INTO audit (at, actor, action, subject, details) VALUES (now(), 'x', 'y', 'late', '{}')")
            )
            written.set()
            await go_on.wait()

    task = asyncio.create_task(slow())
    await written.wait()
    await say(store, "second")
    first = await seal(store)
    go_on.set()
    await task
    second = await seal(store)
    assert second.number == first.number + 1
    assert await verified(store, [first, second]) == Verified(2, 3, 0, 2, ())
    await tamper(store, "DELETE FROM audit WHERE subject = 'late'")
    assert (await verified(store)).problems == ("segment 2: 1 of its entries is gone",)


async def test_of_many_that_seal_at_once_one_does(store: SqlStore, replica: SqlStore) -> None:
    for count in range(1, 4):
        await say(store, "x", "y")
        await asyncio.gather(*(at.seal_audit(1000) for at in (store, replica, store, replica)))
        head = await seal(store)
        assert head.number == count
    assert await verified(store, [await seal(store)]) == Verified(3, 6, 0, 1, ())


async def test_a_long_log_is_sealed_in_parts(store: SqlStore) -> None:
    await say(store, *(f"s{number}" for number in range(7)))
    more, parts = True, 0
    while more:
        _, more = await store.seal_audit(3)
        parts += 1
    assert parts == 3
    found = await verified(store)
    assert (found.segments, found.entries, found.unsealed, found.problems) == (3, 7, 0, ())


async def test_what_is_past_its_time_goes_segment_by_segment_and_the_rest_still_holds(store: SqlStore) -> None:
    heads = await three_segments(store)
    advance(store, 2 * HOUR)
    await store.pause(Pause("p", "pause", "all", "deploy", "ann", store.now()))
    heads.append(await seal(store))
    keep = HOUR
    deleted = []
    while count := await store.expire({"audit": keep}, 2):
        deleted.append(count)
        assert (await store.verify_audit(heads, keep)).problems == ()
    assert sum(deleted) == 3 + 7
    found = await store.verify_audit(heads, keep)
    assert (found.segments, found.entries) == (1, 1)


async def test_entries_stay_for_as_long_as_the_segment_that_holds_them(store: SqlStore) -> None:
    await say(store, "a1", "a2")
    advance(store, 2 * HOUR)
    heads = [await seal(store)]
    assert await store.expire({"audit": HOUR}, 10) == 0
    assert (await store.verify_audit(heads, HOUR)).entries == 2
