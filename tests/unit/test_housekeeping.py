"""Pages that are held back, from the chore's side: which go out, which wait on, and who hears of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import cast

from responder.domain.alerts import Severity
from responder.domain.notification import Account
from responder.housekeeping import LOOK_AGAIN_AT_LEAST, Housekeeper
from responder.ports.store import Housekeeping
from tests.unit.tell.stories import STORIES, incident

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
        cast("Housekeeping", store),
        lambda name, /, **_: facts.append(name),
        dict,
        page=lambda: PAGER,
        page_after=lambda: after,
    )
    await keeper._holds()
    return store, facts


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
