"""The committing buffer: durable before it returns, shared commits, one bad row alone fails."""

import asyncio
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from responder.domain.errors import StoreError, Unavailable
from responder.intake.buffer import ByteBudget, CommittingBuffer
from responder.ports.store import NewDelivery


def delivery(name: str, body: bytes = b"{}") -> NewDelivery:
    return NewDelivery(name, "am", datetime(2026, 1, 5, tzinfo=UTC), body, 1)


class SlowInbox:
    """An inbox whose commits end when they are let; ``kept`` is what is durable."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.kept: list[str] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.bad: set[str] = set()
        self.down: Exception | None = None

    async def accept(self, deliveries: Sequence[NewDelivery]) -> Sequence[Exception | None]:
        self.begun.set()
        await self.go.wait()
        if self.down:
            raise self.down
        self.commits.append([one.id for one in deliveries])
        self.kept += [one.id for one in deliveries if one.id not in self.bad]
        return [StoreError("bad row") if one.id in self.bad else None for one in deliveries]


class Woken:
    def __init__(self) -> None:
        self.times = 0
        self.facts: list[dict[str, object]] = []

    def __call__(self) -> None:
        self.times += 1

    def note(self, name: str, /, **fields: object) -> None:
        self.facts.append({"name": name, **fields})


def buffer(inbox: SlowInbox, woken: Woken | None = None, **options: float | ByteBudget) -> CommittingBuffer:
    seen = woken or Woken()
    return CommittingBuffer(inbox, seen, seen.note, **options)  # type: ignore[arg-type] # sizes are whole numbers


async def test_it_returns_when_the_delivery_is_durable_and_wakes_the_next_in_line() -> None:
    inbox, woken = SlowInbox(), Woken()
    inbox.go.clear()
    task = asyncio.create_task(buffer(inbox, woken).submit(delivery("a")))
    await inbox.begun.wait()
    assert not task.done()
    assert woken.times == 0
    inbox.go.set()
    await task
    assert (inbox.kept, woken.times) == (["a"], 1)


async def test_what_arrives_during_a_commit_shares_the_next_one() -> None:
    inbox = SlowInbox()
    inbox.go.clear()
    shared = buffer(inbox)
    tasks = [asyncio.create_task(shared.submit(delivery("first")))]
    await inbox.begun.wait()
    tasks += [asyncio.create_task(shared.submit(delivery(str(n)))) for n in range(50)]
    await asyncio.sleep(0)
    inbox.go.set()
    await asyncio.gather(*tasks)
    assert inbox.commits == [["first"], [str(n) for n in range(50)]]


async def test_a_lone_delivery_waits_for_nobody() -> None:
    inbox = SlowInbox()
    shared = buffer(inbox, linger=3600)
    async with asyncio.timeout(5):
        for name in "abc":
            await shared.submit(delivery(name))
    assert inbox.commits == [["a"], ["b"], ["c"]]


async def test_a_commit_has_bounds() -> None:
    inbox = SlowInbox()
    shared = buffer(inbox, max_rows=2, max_bytes=10, linger=0)
    sizes = [1, 1, 1, 9, 9, 30, 1]
    await asyncio.gather(*(shared.submit(delivery(str(n), b"x" * size)) for n, size in enumerate(sizes)))
    assert inbox.commits == [["0", "1"], ["2", "3"], ["4"], ["5"], ["6"]]


async def test_only_the_bad_row_fails() -> None:
    inbox = SlowInbox()
    inbox.bad = {"b"}
    shared = buffer(inbox)
    answers = await asyncio.gather(*(shared.submit(delivery(name)) for name in "abc"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), StoreError, type(None)]
    assert inbox.kept == ["a", "c"]


@pytest.mark.parametrize("error", [Unavailable("down"), RuntimeError("a fault of ours")])
async def test_a_failing_store_acknowledges_nothing_and_recovers(error: Exception) -> None:
    inbox, woken = SlowInbox(), Woken()
    shared = buffer(inbox, woken)
    inbox.down = error
    answers = await asyncio.gather(*(shared.submit(delivery(name)) for name in "ab"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
    assert woken.times == 0
    inbox.down = None
    await shared.submit(delivery("c"))
    assert inbox.kept == ["c"]


async def test_a_hanging_store_is_not_waited_for_longer_than_a_sender_would() -> None:
    inbox = SlowInbox()
    inbox.go.clear()
    with pytest.raises(Unavailable, match="in time"):
        await buffer(inbox, commit_seconds=0.01).submit(delivery("a"))


async def test_a_sender_behind_a_hanging_commit_is_answered_in_time_and_its_place_given_up() -> None:
    inbox = SlowInbox()
    inbox.go.clear()
    shared = buffer(inbox, answer_seconds=0.01)
    first = asyncio.create_task(shared.submit(delivery("a")))
    await inbox.begun.wait()
    answers = await asyncio.gather(first, *(shared.submit(delivery(name)) for name in "bc"), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["the store did not answer in time"] * 3
    inbox.go.set()
    await shared.close()
    assert inbox.commits == [["a"]]  # it was under way; the others will be sent again


async def test_a_sender_that_goes_away_disturbs_nobody() -> None:
    inbox = SlowInbox()
    inbox.go.clear()
    shared = buffer(inbox, answer_seconds=60)
    leaving, staying = (asyncio.create_task(shared.submit(delivery(name))) for name in "ab")
    await inbox.begun.wait()
    leaving.cancel()
    inbox.go.set()
    await staying
    assert inbox.kept == ["a", "b"]


async def test_closing_answers_what_was_taken_and_takes_nothing_more() -> None:
    inbox = SlowInbox()
    inbox.go.clear()
    shared = buffer(inbox)
    tasks = [asyncio.create_task(shared.submit(delivery(name))) for name in "ab"]
    await inbox.begun.wait()
    closing = asyncio.create_task(shared.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="stopping"):
        await shared.submit(delivery("c"))
    inbox.go.set()
    await asyncio.gather(closing, *tasks)
    assert inbox.kept == ["a", "b"]


class Held(NewDelivery):
    """A delivery that can be seen to go."""


async def test_no_more_is_held_than_the_budget_allows_however_long_the_store_hangs() -> None:
    inbox, budget, held = SlowInbox(), ByteBudget(10), weakref.WeakSet[Held]()
    inbox.go.clear()
    shared = buffer(inbox, budget=budget, max_rows=4, answer_seconds=0.01)

    async def send() -> str:
        if not budget.take(1):
            return "no room"
        try:
            one = Held(f"{len(held)}", "am", datetime(2026, 1, 5, tzinfo=UTC), b"x", 1)
            held.add(one)
            await shared.submit(one)
        except Unavailable as error:
            return str(error)
        finally:
            budget.give(1)
        return "stored"

    late = "the store did not answer in time"
    for no_room in (0, 4, 4):  # the second wave and the third have the room that the flush under way does not need
        answers = await asyncio.gather(*(send() for _ in range(10)))
        assert (answers.count("no room"), answers.count(late)) == (no_room, 10 - no_room)
        assert (len(held), budget.used) == (4, 4)
    leaving = asyncio.create_task(send())
    await asyncio.sleep(0)
    assert (len(held), budget.used) == (5, 5)
    leaving.cancel()
    await asyncio.wait([leaving])
    del leaving
    assert (len(held), budget.used) == (4, 4)
    inbox.go.set()
    await shared.close()
    assert (len(inbox.kept), len(held), budget.used) == (4, 0, 0)


def test_bytes_in_flight_are_bounded() -> None:
    budget = ByteBudget(10)
    assert budget.take(6)
    assert not budget.take(5)
    budget.give(6)
    assert budget.take(10)
