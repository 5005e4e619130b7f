"""``model``: the real decider, engine and store beside the specification, through whatever hypothesis thinks of.

After each happening both must agree on what the items hold, how often they were changed and changed back, which alerts
fire, and how the runs ended. A disagreement is made as short as it can be.
"""

import asyncio
import functools
import json
import multiprocessing
import random
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from responder.decide.rules import Rules
from responder.domain.ids import new_id
from responder.domain.modes import Mode
from responder.ports.store import NewDelivery
from tests.attack.scenarios import BEFORE
from tests.attack.seeds import MORNING, Day, folder, quickly, still_open
from tests.attack.specification import PATIENCE, YES_WITHIN, Item, Kind, Specification
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.playbooks import change_item
from tests.bed.stores import embedded

_LIMITS = "  max_age: 48h\n  recurrence: 1000 per 24h\n"
"""Here it is about what happens, not how often it may."""
PLAYBOOKS = {
    Kind.STEADY: change_item("steady", limits=_LIMITS),
    Kind.PATIENT: change_item("patient", limits=_LIMITS, wanted=99, within="2m"),
    Kind.ASKS: change_item("asks", limits=_LIMITS, mode="approve"),
}
_RULES = Rules(max_mode=Mode.AUTO, page="console:", flap_changes=10_000)
_SETTLE, _RECOVERS, _TRUSTED_AGAIN = 6.0, 45.0, 80.0
"""Seconds in which what is due has happened: as a rule, when something is in doubt, and when the clock is."""
_STEP, _STRIDE = 0.25, 20.0
"""The shortest and the longest time that is skipped at once."""
_T = TypeVar("_T")
FAULTS = ("refused", "lost", "gone", "dies before", "dies after")
ITEMS = st.sampled_from(list(Kind))


@dataclass(frozen=True, slots=True)
class Heard:
    """A notice that was delivered."""

    name: str
    began: float
    ended: float | None
    body: bytes


class Model(RuleBasedStateMachine):
    """What may happen, and that both sides agree."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._stack.enter_context(quickly())
        self._runner = self._stack.enter_context(asyncio.Runner())
        directory = self._stack.enter_context(folder())
        embedded(directory / "day.db")
        self.day = Day(
            directory,
            random.Random(0),  # noqa: S311 -- nothing is drawn
            texts={kind.value: text for kind, text in PLAYBOOKS.items()},
            rules=_RULES,
        )
        self.spec = Specification({kind.value: Item(kind, BEFORE) for kind in Kind})
        for name in self.spec.items:
            self.day.kinds[name] = name
            self.day.service.edit(name, BEFORE)
        self.heard: list[Heard] = []
        self._patience = _SETTLE
        self._run(self.day.begin())
        self._settle()

    def teardown(self) -> None:
        self._run(self.day.store.close())
        self._stack.close()

    # --- deliveries ---

    @rule(item=ITEMS, copies=st.integers(1, 2))
    def fires(self, item: Kind, copies: int) -> None:
        """It fires since now; where it fires already, it had ended unseen."""
        self._deliver(item, self.now, None, copies)

    @rule(item=ITEMS, overtakes=st.booleans())
    def ends(self, item: Kind, overtakes: bool) -> None:  # noqa: FBT001 -- hypothesis names it
        """It is over; a notice that it fires may have been overtaken by that."""
        began = self.spec.items[item].began
        self._deliver(item, began, self.now, 1)
        if overtakes:
            self._deliver(item, began, None, 1)

    @precondition(lambda self: self.heard)
    @rule(data=st.data(), copies=st.integers(1, 2))
    def comes_again(self, data: st.DataObject, copies: int) -> None:
        """A retry, a repeat, a copy that was held up somewhere."""
        one = data.draw(st.sampled_from(self.heard))
        self._accept(one, copies)

    def _deliver(self, item: Kind, began: float, ended: float | None, copies: int) -> None:
        one = alert({"alertname": item, "item": item}, starts_at=MORNING + timedelta(seconds=began))
        if ended is not None:
            one = resolved(one, MORNING + timedelta(seconds=ended))
        body = json.dumps(webhook([one], group_by=["item"])).encode()
        heard = Heard(item, began, ended, body)
        self.heard.append(heard)
        self._accept(heard, copies)

    def _accept(self, one: Heard, copies: int) -> None:
        self._run(self._take(one.body, copies))
        for _ in range(copies):
            if one.ended is None:
                self.spec.firing(one.name, one.began, self.now)
            else:
                self.spec.resolved(one.name, one.began, min(one.ended, self.now))
        self._settle()

    async def _take(self, body: bytes, copies: int) -> None:
        store = self.day.store
        await store.accept([NewDelivery(new_id(), "am", store.now(), body, 1) for _ in range(copies)])

    # --- people ---

    @rule()
    def pause(self) -> None:
        self._run(self.day.pause())
        self.spec.pause(on=self.day.paused, now=self.now)
        self._settle()

    @precondition(lambda self: self.spec.items[Kind.ASKS].run == "asking")
    @rule(yes=st.booleans(), holds=st.sampled_from((BEFORE, BEFORE, 7)))
    def answers(self, yes: bool, holds: int) -> None:  # noqa: FBT001 -- hypothesis names it
        """Somebody is asked, and somebody else may have been quicker at the item."""
        self._edit(Kind.ASKS, holds)
        self._run(self._answer(yes=yes))
        self.spec.answered(Kind.ASKS, yes=yes, now=self.now)
        self._settle()

    @rule(item=ITEMS)
    def stops(self, item: Kind) -> None:
        if self.spec.items[item].run:
            self._run(self._stop(item))
            self.spec.stop(item)
            self._settle()

    async def _answer(self, *, yes: bool) -> None:
        store = self.day.store
        [asked] = (await store.page("approvals", {"state": "pending"}, 50, "")).items
        assert await store.answer(str(asked["run"]), yes, "ana", str(asked["plan_hash"]), "") is None

    async def _stop(self, item: Kind) -> None:
        store = self.day.store
        runs = (await store.page("runs", {}, 200, "")).items
        [run] = [one for one in runs if not one["finished_at"] and str(one["target"]).endswith(f"/{item}")]
        await store.stop(str(run["id"]), "ana")

    @rule(item=ITEMS, holds=st.sampled_from((3, BEFORE, 7)))
    def edits(self, item: Kind, holds: int) -> None:
        self._edit(item, holds)
        self._settle()

    def _edit(self, item: Kind, holds: int) -> None:
        if self.spec.items[item].holds != holds:
            self.day.service.edit(item, holds)
            self.spec.edited(item, holds)

    # --- time and trouble, which must make no difference ---

    @rule(seconds=st.sampled_from((10, 60, 130, 370)))
    def waits(self, seconds: int) -> None:
        self._settle(seconds)

    @rule(what=st.sampled_from(("restart", "+3600", "-3600", *FAULTS)), restart=st.booleans())
    def befalls(self, what: str, restart: bool) -> None:  # noqa: FBT001 -- hypothesis names it
        """The process ends, somebody sets the machine's clock, or the next change meets with an accident."""
        if what in FAULTS:
            self.day.service.faults.clear()
            self.day.service.faults.append(what)
            self._patience = _RECOVERS
        elif what != "restart":
            self.day.wall_ahead += int(what)
            self._patience = _TRUSTED_AGAIN
        if restart or what == "restart":
            self._run(self.day.again())
        self._settle()

    # --- both agree ---

    @invariant()
    def both_agree(self) -> None:
        """Nothing of what people and targets can see differs."""
        assert self.day.wrong == []
        wanted = {
            name: (item.holds, item.effects, item.undone, item.fires, item.run, dict(item.ends))
            for name, item in self.spec.items.items()
        }
        seen = self._run(self._seen())
        assert seen == wanted, f"\nis     {seen}\nwanted {wanted}"

    async def _seen(self) -> dict[str, object]:
        store, service = self.day.store, self.day.service
        runs = (await store.page("runs", {}, 200, "")).items
        episodes = (await store.page("episodes", {"state": "open"}, 200, "")).items
        fires = {labels.get("item") for one in episodes if isinstance(labels := one["labels"], dict)}
        landed = Counter((one.item, one.key.rpartition(":")[2]) for one in service.ledger)
        found: dict[str, object] = {}
        for name in self.spec.items:
            of_it = [one for one in runs if str(one["target"]).endswith(f"/{name}")]
            goes_on = [str(one["state"]) for one in of_it if not one["finished_at"]]
            holds = service.resources[name]
            assert isinstance(holds, dict)
            found[name] = (
                holds["workers"],
                landed[name, "do"],
                landed[name, "undo"],
                name in fires,
                "".join("asking" if state == "awaiting_approval" else state for state in goes_on),
                dict(Counter(str(one["state"]) for one in of_it if one["finished_at"])),
            )
        return found

    # --- time ---

    @property
    def now(self) -> float:
        """Seconds of the store's clock since the morning."""
        return (self.day.store.now() - MORNING).total_seconds()

    def _run(self, what: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(what)

    def _settle(self, seconds: float = 0) -> None:
        """Let time pass until all that is due has happened, and nothing is about to be."""
        self._run(self._until(self.day.seconds + max(seconds, self._patience)))
        self.spec.passed(self.now)
        while any(self._about_to(item) for item in self.spec.items.values()):
            self._run(self._until(self.day.seconds + _STRIDE))
            self.spec.passed(self.now)
        if not self.day.service.faults:
            self._patience = _SETTLE

    def _about_to(self, item: Item) -> bool:
        """Whether the end of a run is so near that nobody could say on which side of it something happens."""
        ends = item.since + (PATIENCE if item.kind is Kind.PATIENT else YES_WITHIN)
        return item.since > 0 and ends - _STRIDE <= self.now <= ends + _RECOVERS

    async def _until(self, until: float) -> None:
        day = self.day
        await day.work()
        while day.seconds < until:
            _, due = await still_open(day.store)
            ahead = (due - day.store.now()).total_seconds() if due is not None else _STRIDE
            day.seconds = min(until, day.seconds + min(max(ahead, _STEP), _STRIDE))
            await day.glance()
            await day.work()


def stories(count: int, steps: int, *, hastily: bool = False) -> str:
    """Play so many stories of so many happenings; returns the first that goes wrong, made short, or nothing.

    ``hastily``: always the same stories, and one that goes wrong is not made short.
    """
    wanted = settings(
        max_examples=count,
        stateful_step_count=steps,
        derandomize=hastily,
        phases=(Phase.generate,) if hastily else tuple(Phase),
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Model, settings=wanted)
    except AssertionError as error:
        return "".join(traceback.format_exception(error, limit=-1))
    return ""


_AT_ONCE = 20
"""Stories that a process takes at once."""


def model(count: int, steps: int, jobs: int, say: Callable[[str], None]) -> tuple[int, int]:
    """Play many in so many processes; returns how many, and how many shares of them met a disagreement."""
    shares = [min(_AT_ONCE, count - first) for first in range(0, count, _AT_ONCE)]
    played = wrong = 0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for share, story in zip(shares, pool.imap(functools.partial(stories, steps=steps), shares), strict=True):
            played += share
            if story:
                wrong += 1
                say(story)
            if played % (_AT_ONCE * 10) == 0:
                say(f"{played:,} of {count:,} stories, {wrong} disagreements")
    return played, wrong
