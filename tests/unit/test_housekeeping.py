"""Pages that are held back, from the chore's side: which go out, which wait on, and who hears of it."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from responder.domain.alerts import Severity
from responder.domain.errors import Unavailable
from responder.domain.notification import Account
from responder.domain.seals import Head
from responder.housekeeping import LOOK_AGAIN_AT_LEAST, SEAL_MOST, Housekeeper, Kept
from responder.ports.sealing import Heads
from tests.unit.tell.stories import STORIES, incident

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
AFTER = timedelta(minutes=5)
PAGER = frozenset({"pagerduty:payments"})


@dataclass
class Held:
    """The part of a store that the chore works on; the rest of it is never reached."""

    due: list[Account]
    out: list[tuple[str, timedelta, Collection[str]]] = field(default_factory=list)
    waiting: list[tuple[str, timedelta]] = field(default_factory=list)

    async def holds_due(self, limit: int) -> Sequence[Account]:
        found, self.due = self.due[:limit], self.due[limit:]
        return found

    async def call(self, incident_id: str, again: timedelta, tell: Collection[str]) -> bool:
        known = incident_id in [one for one, _, _ in self.out]
        self.out.append((incident_id, again, tell))
        return not known

    async def hold_on(self, incident_id: str, again: timedelta) -> None:
        self.waiting.append((incident_id, again))


async def _look(*accounts: Account, after: timedelta = AFTER) -> tuple[Held, list[str]]:
    facts: list[str] = []
    store = Held(list(accounts))
    keeper = Housekeeper(
        cast("Kept", store),
        lambda name, /, **_: facts.append(name),
        dict,
        page=lambda: PAGER,
        page_after=lambda: after,
    )
    await keeper._holds()
    return store, facts


@dataclass
class Log:
    """A store whose audit log has so many full batches to seal, and then nothing."""

    full: int
    sealed: int = 0

    async def seal_audit(self, limit: int) -> tuple[Head, bool]:
        assert limit > 0
        self.sealed += 1
        return Head(self.sealed, "h", NOW), self.sealed <= self.full


@dataclass
class Outside:
    """Where heads go, unless the disk is full."""

    kept: list[int] = field(default_factory=list)
    full: bool = False

    async def keep(self, head: Head) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.kept.append(head.number)


@pytest.mark.parametrize(("full", "sealed"), [(0, 1), (2, 3), (99, SEAL_MOST)])
async def test_what_was_committed_is_sealed_and_the_newest_head_goes_outside(full: int, sealed: int) -> None:
    store, outside = Log(full), Outside()
    facts: list[tuple[str, object]] = []

    def keeper(heads: Outside | None) -> Housekeeper:
        return Housekeeper(
            cast("Kept", store),
            lambda name, /, **fields: facts.append((name, fields)),
            dict,
            page=frozenset,
            page_after=lambda: AFTER,
            heads=lambda: cast("Heads | None", heads),
        )

    await keeper(outside)._seal()
    assert (store.sealed, outside.kept, facts) == (sealed, [sealed], [])
    outside.full = True
    await keeper(outside)._seal()
    assert facts == [("chore_failed", {"chore": "seal", "error": "the heads file: No space left on device"})]
    await keeper(None)._seal()
    assert len(facts) == 1


async def test_what_is_neither_fixed_nor_resolved_is_called_for() -> None:
    for name in ("firing", "fixing", "waiting", "rolled-back"):
        store, facts = await _look(STORIES[name].account)
        assert store.out == [("i1", AFTER, PAGER)]
        assert store.waiting == []
        assert facts == ["page_overdue"]


async def test_what_is_fixed_resolved_or_milder_by_now_waits_on() -> None:
    milder = replace(STORIES["firing"].account, incident=incident(severity=Severity.MEDIUM))
    for account in (STORIES["fixed"].account, STORIES["resolved"].account, milder):
        store, facts = await _look(account)
        assert store.waiting == [("i1", AFTER)]
        assert (store.out, facts) == ([], [])


async def test_nobody_is_called_while_every_alert_is_silenced_or_inhibited() -> None:
    firing = STORIES["firing"].account
    silenced = tuple(replace(one, suppressed="silenced") for one in firing.episodes)
    store, facts = await _look(replace(firing, episodes=silenced))
    assert store.waiting == [("i1", AFTER)]
    assert (store.out, facts) == ([], [])
    another = replace(firing.episodes[0], id="e9")
    store, _ = await _look(replace(firing, episodes=(*silenced, another)))
    assert store.out == [("i1", AFTER, PAGER)]


async def test_a_page_that_is_out_already_is_no_news() -> None:
    account = STORIES["firing"].account
    _, facts = await _look(account, account)
    assert facts == ["page_overdue"]


async def test_without_patience_an_incident_is_still_not_read_all_the_time() -> None:
    store, _ = await _look(STORIES["fixed"].account, after=timedelta())
    assert store.waiting == [("i1", LOOK_AGAIN_AT_LEAST)]


async def test_a_chore_that_stumbles_over_a_fault_of_ours_has_its_turn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.housekeeping.HOLDS_EVERY", 0.01)
    monkeypatch.setattr("responder.housekeeping.SEAL_EVERY", 3600.0)
    again = asyncio.Event()
    facts: list[tuple[str, object]] = []
    outcomes: list[Exception] = [Unavailable("down"), LookupError("a fault of ours")]

    class Stumbling(Held):
        async def holds_due(self, limit: int) -> Sequence[Account]:
            if outcomes:
                raise outcomes.pop(0)
            again.set()
            return await super().holds_due(limit)

    keeper = Housekeeper(
        cast("Kept", Stumbling([])),
        lambda name, /, **fields: facts.append((name, fields)),
        dict,
        page=frozenset,
        page_after=lambda: AFTER,
    )
    keeper.start()
    try:
        async with asyncio.timeout(5):
            await again.wait()
    finally:
        await keeper.stop()
    assert [one for one in facts if one[1]["chore"] == "holds"] == [  # type: ignore[index] # the fields of a fact
        ("chore_failed", {"chore": "holds", "error": "down"}),
        ("chore_failed", {"chore": "holds", "error": "LookupError: a fault of ours"}),
    ]
