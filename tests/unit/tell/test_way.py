"""Telling gives way to acting, and for no longer than its patience."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import cast

import pytest

from responder.ports.findings import FindingsStore
from responder.ports.store import Outbox, OutboxItem
from responder.ports.tools import Tools
from responder.tell.courier import BATCH, CLAIM_PATIENCE, FEW, Courier
from responder.tell.docs import Docs
from responder.tell.enrich import PATIENCE, Enricher
from responder.tell.way import HURRY_SECONDS, ON_TIME, Way
from tests.unit.tell.stories import at


class Time:
    """A clock whose sleeps take ``late`` seconds longer than asked: what a busy thread does to them."""

    def __init__(self, late: float = 0.02) -> None:
        self.at, self.late, self.looks = 100.0, late, 0

    def now(self) -> datetime:
        return at(0) + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.looks += 1
        self.at += seconds + self.late
        await asyncio.sleep(0)


class Waiting:
    """An outbox and a queue of looks that note when and for how much they were asked."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.asked: list[tuple[float, int]] = []

    async def claim_outbox(self, limit: int, skip: Collection[str]) -> Sequence[OutboxItem]:
        self.asked.append((self._time.at, limit))
        return ()

    async def claim_looks(self, limit: int) -> Sequence[str]:
        self.asked.append((self._time.at, limit))
        return ()


def way(time: Time, behind: Callable[[], bool]) -> Way:
    return Way(behind, monotonic=time.monotonic, sleep=time.sleep)


def courier(store: Waiting, time: Time, given: Way) -> Courier:
    return Courier(
        cast("Outbox", store), time, {},
        docs_of=lambda _: Docs(), external_url="", on_fact=lambda *_, **__: None, way=given,
    )  # fmt: skip


def enricher(store: Waiting, time: Time, given: Way) -> Enricher:
    return Enricher(
        cast("Outbox", store), cast("FindingsStore", store), time, cast("Tools", None),
        playbook_for=lambda _, __: None, clean=str, on_fact=lambda *_, **__: None, way=given,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "patience", "less"), [(courier, CLAIM_PATIENCE, FEW), (enricher, PATIENCE, 8)], ids=["outbox", "looks"]
)
async def test_telling_gives_way_to_acting_for_no_longer_than_its_patience(
    make: Callable[[Waiting, Time, Way], Courier | Enricher], patience: float, less: int
) -> None:
    time = Time()
    store = Waiting(time)
    await make(store, time, way(time, lambda: True)).turn()
    ((claimed, limit),) = store.asked
    assert patience <= claimed - 100.0 <= patience + 0.1
    assert limit == less  # and then it takes little


async def test_telling_goes_on_as_soon_as_acting_has_caught_up() -> None:
    time = Time()
    store = Waiting(time)
    await courier(store, time, way(time, lambda: time.at < 100.2)).turn()
    ((claimed, limit),) = store.asked
    assert 100.2 <= claimed <= 100.3
    assert limit == BATCH


async def test_who_is_needed_is_told_at_once_whatever_acting_has_to_do() -> None:
    time = Time()
    given = way(time, lambda: True)
    given.hurry()
    assert await given.clear(5.0)
    assert time.at == 100.0
    time.at += HURRY_SECONDS
    assert not await given.clear(5.0)


async def test_turns_that_wait_for_the_world_outside_hold_up_nobody() -> None:
    time = Time(late=0.0)
    assert await way(time, lambda: True).clear(5.0)
    assert time.looks == ON_TIME


async def test_nobody_is_held_up_at_the_end() -> None:
    time = Time()
    given = way(time, lambda: True)
    given.close()
    assert await given.clear(5.0)
    assert time.at == 100.0
