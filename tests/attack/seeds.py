"""``seeds``: the real decider, engine and SQLite store on a clock of our own, through whatever a seed makes of a day.

Deliveries come twice, late and out of order; alerts end; the process dies in the middle of an effect or between two
turns; people pause, approve, stop, roll back and edit by hand; the target refuses, or loses its answers. Alerts begin
anew without having ended, and come in another group. After each step the target's ledger must be in order, and in the
end every run is over, and what a person said no to was not begun again.
"""

import asyncio
import functools
import gc
import json
import math
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from unittest import mock

from pydantic import JsonValue
from sqlalchemy import func, select

from responder.act.actor import take_turn
from responder.act.engine import Engine
from responder.app import catalogue
from responder.app.live import StoreClock
from responder.decide.decider import Decider
from responder.decide.rules import Rules
from responder.domain.errors import Conflict
from responder.domain.ids import new_id
from responder.domain.limits import Pause
from responder.domain.modes import Mode
from responder.domain.records import Record
from responder.domain.runs import Run
from responder.intake.formats import parse
from responder.playbook.library import Library, load_library
from responder.playbook.model import Playbook
from responder.ports.action import Action
from responder.ports.catalogue import Catalogue
from responder.ports.store import NewDelivery
from responder.stores import sqlite
from responder.stores.core.clock import AnchoredClock
from responder.stores.core.store import SqlStore
from responder.stores.schema import runs
from responder.stores.sqlite import SqliteDatabase
from tests.attack.day_judge import as_it_was, ends_hold, steps_once
from tests.attack.day_kinds import A_DAY, KINDS
from tests.attack.day_order import in_order
from tests.attack.day_words import No, Words, item_of, may_be_declined
from tests.attack.inline import inline
from tests.attack.made_up import Dead, Service, Tools
from tests.attack.scenarios import BEFORE, LEVELS
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.processes import memory
from tests.bed.quick import spelled_once
from tests.bed.stores import embedded

STEPS = 60
MORNING = datetime(2026, 1, 5, 6, tzinfo=UTC)
"""When each day begins; the machine's own clock has no part in it."""
_DRAIN = 200
"""Turns until everything must be over when nothing hinders it any more."""
_PATIENT = 40
"""Turns of these in which no time is skipped; what is tried again every two seconds goes on so until its deadline."""
_TIDY = 20
"""Turns of these between two looks at what was taken up too often."""
_CHUNK = 5
"""Seeds that a process takes at once."""
_TELL = 500
_RULES = Rules(max_mode=Mode.AUTO, page="console:")


@dataclass(slots=True)
class Day:
    """What a seed makes: one store, one target, one clock, and what happens."""

    directory: Path
    draw: random.Random
    seconds: float = 0.0
    wall_ahead: float = 0.0
    """By how much somebody has set the machine's clock forward."""
    service: Service = field(default_factory=Service)
    wrong: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)
    paused: bool = False
    edited: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)
    """What can fire, and which playbook fits."""
    starts: dict[str, datetime] = field(default_factory=dict)
    """Since when each item's alert fires, as its sender says."""
    words: Words = field(default_factory=Words)
    texts: Mapping[str, str] = field(default_factory=lambda: KINDS)
    """The playbooks there are, by their names."""
    rules: Rules = _RULES
    store: SqlStore = field(init=False)
    engine: Engine = field(init=False)
    decider: Decider = field(init=False)

    async def begin(self) -> None:
        """Start the process, or start it again."""
        database = SqliteDatabase(self.directory / "day.db", wall=self._wall)
        database.clock = AnchoredClock(lambda: self.seconds)
        self.store = SqlStore(database)
        await self.store.open()
        kinds, library = _playbooks(tuple(self.texts.items()))
        if not self.seen["lives"]:
            for playbook in library.playbooks.values():
                await self.store.keep_playbook(playbook.name, playbook.revision, playbook.file, playbook.text)
        self.seen["lives"] += 1
        known = {playbook.revision: playbook for playbook in library.playbooks.values()}

        async def playbook_of(run: Run) -> Playbook | None:
            return known.get(run.revision)

        def action_of(record: Record) -> Action:
            return kinds.actions[record.action].model_validate(dict(record.arguments))

        clock = Virtual(self.store, lambda: self.seconds)
        self.engine = Engine(self.store, Tools(self.service), clock, playbook_of, lambda _: False, action_of, self.note)
        self.decider = Decider(
            self.store,
            lambda: library,
            lambda: self.rules,
            lambda _, body: parse("alertmanager", body),
            on_fact=self.note,
        )

    async def glance(self) -> None:
        """Look at the machine's clock, as the store does every few seconds by a clock that is not ours."""
        assert isinstance(self.store.db, SqliteDatabase)
        await self.store.db._look()

    def _wall(self) -> datetime:
        return MORNING + timedelta(seconds=self.seconds + self.wall_ahead)

    def note(self, name: str, /, **fields: object) -> None:
        """Keep what must not happen."""
        if "crashed" in name or name == "slice_failed":
            self.wrong.append(f"{name}: {fields}")

    async def again(self) -> None:
        """Die and start again."""
        await self.store.close()
        await self.begin()

    # --- what may happen ---

    async def deliver(self) -> None:
        """An alert fires, is repeated, or ends; sometimes the same body comes again."""
        item = self.draw.choice(list(self.kinds))
        if self.draw.random() < 0.3:
            self.starts.pop(item, None)  # it ended in between, and nobody said so; or its sender was started anew
        starts = self.starts.setdefault(item, self.store.now() - timedelta(minutes=1))
        one = alert({"alertname": self.kinds[item], "item": item}, starts_at=starts)
        if self.draw.random() < 0.3:
            one = resolved(one, self.store.now())
            self.words.ends[item].append(self.store.now())
            del self.starts[item]
        body = json.dumps(webhook([one], group_by=[self.draw.choice(("item", "item", "alertname"))])).encode()
        for _ in range(self.draw.choice((1, 1, 2, 3))):
            self.seen["deliveries"] += 1
            await self.store.accept([NewDelivery(new_id(), "am", self.store.now(), body, 1)])

    async def wait(self) -> None:
        """Time passes."""
        self.seconds += self.draw.choice((0.1, 0.5, 1, 3, 31, 60, 400))

    async def work(self) -> None:
        """Decide and act on what is due; the process may die in it."""
        try:
            await self.decider.turn()
            for run in await self.store.claim_runs(8):
                with suppress(Conflict):
                    await take_turn(self.engine, run)
        except Dead:
            self.story.append("  it dies")
            self.seen["deaths in an effect"] += 1
            await self.again()

    async def tidy(self) -> None:
        """What was taken up too often is set aside, as housekeeping does."""
        self.seen["set aside"] += len(await self.store.set_aside())

    async def pause(self) -> None:
        """A person pauses everything, or lifts it."""
        if self.paused:
            await self.store.resume("all", "ana")
        else:
            now = self.store.now()
            self.seen["pauses"] += 1
            await self.store.pause(Pause(new_id(), "pause", "all", "a seed", "ana", now, None))
        self.paused = not self.paused

    async def answer(self) -> None:
        """A person answers what is asked, mostly with yes."""
        page = await self.store.page("approvals", {"state": "pending"}, 50, "")
        for one in page.items:
            yes, asking = self.draw.random() < 0.8, await self._known(str(one["run"]))
            if await self.store.answer(str(one["run"]), yes, "ana", str(one["plan_hash"]), "") is None:
                self.seen["approvals" if yes else "rejections"] += 1
                if not yes:
                    await self._declined(asking)
                    self.words.unwanted |= {str(asking["id"])} if asking["state"] == "acting" else set()

    async def meddle(self) -> None:
        """A person stops or rolls back a run, or edits an item by hand."""
        page = await self.store.page("runs", {}, 50, "")
        what = self.draw.randrange(3)
        if what == 0:
            item = self.draw.choice(list(self.kinds))
            self.service.edit(item, self.draw.choice((BEFORE, 7)))
            self.seen["edits by hand"] += 1
            self.edited.add(item)
        elif page.items and what == 1:
            run = self.draw.choice(list(page.items))
            if await self.store.stop(str(run["id"]), "ana") and run["state"] not in ("kept", "reverting"):
                await self._declined(run)
        elif page.items:
            run = self.draw.choice(list(page.items))
            if isinstance(await self.store.roll_back(str(run["id"]), "ana", ""), Run):
                await self._declined(run)

    async def _known(self, run_id: str) -> Mapping[str, JsonValue]:
        return (await self.store.page("runs", {"id": run_id}, 1, "")).items[0]

    async def _declined(self, run: Mapping[str, JsonValue]) -> None:
        if await may_be_declined(self.store, run):
            self.seen["declined"] += 1
            self.words.said.append(No(self.store.now(), item_of(run), str(run["id"])))

    async def trouble(self) -> None:
        """The next effects are refused, lose their answer, or kill the process."""
        self.service.faults.append(self.draw.choice(("refused", "lost", "gone", "dies before", "dies after")))

    # --- what must be true ---

    async def look(self) -> None:
        """Add what is wrong now."""
        for key, count in Counter(one.key for one in self.service.ledger).items():
            if count > 1:
                self.wrong.append(f"{key} landed {count} times")
        for one in self.service.unseen():
            found = (await self.store.page("records", {"id": one.key.partition(":")[0]}, 1, "")).items
            if not found or not found[0]["before"]:
                self.wrong.append(f"{one.key} has no record with a before-image")
            if self.paused and one.key.endswith(":do"):
                self.wrong.append(f"{one.key} went out during a pause")

    async def judge(self) -> None:
        """Compare the store with the ledger when everything is over."""
        keys = {one.key for one in self.service.ledger}
        self.seen["effects"] += len(keys)
        self.seen["undone"] += sum(key.endswith(":undo") for key in keys)
        runs = (await self.store.page("runs", {}, 200, "")).items
        for run in runs:
            self.seen["runs"] += 1
            self.seen[f"ended {run['state']}"] += 1
            self.seen["not given back"] += run["verdict"] == "not_given_back"
            if not run["finished_at"]:
                self.wrong.append(f"run {run['id']} of {run['playbook']} stays {run['state']}")
        records = (await self.store.page("records", {}, 200, "")).items
        incidents = {str(one["id"]): one for one in (await self.store.page("incidents", {}, 200, "")).items}
        untouched = {item: self.service.resources[item] for item in self.kinds if item not in self.edited}
        self.wrong += steps_once(records, self.service.ledger)
        self.wrong += as_it_was(records, self.service.ledger, untouched)
        self.wrong += ends_hold(runs, records, incidents)
        self.wrong += [*self.words.heeded(runs), *self.words.undone(records)]
        self.wrong += in_order(runs, records, self.service.ledger, self.edited)
        for record in records:
            self.seen["of items and portions"] += "[" in str(record["step"])
            key, state = f"{record['id']}:do", record["state"]
            self.seen["in doubt to the end"] += state in {"uncertain", "undo_uncertain"}
            if (state == "not_applied") and key in keys:
                self.wrong.append(f"{key} landed, and its record says that it did not")
            by_hand = str(record["target"]).rpartition("/")[2] in self.edited
            if state in {"applied", "undone"} and key not in keys and not by_hand:
                self.wrong.append(f"{key} never landed, and its record is {state}")


class Virtual(StoreClock):
    """The store's clock, and the day's seconds."""

    def __init__(self, store: SqlStore, seconds: Callable[[], float]) -> None:
        super().__init__(store)
        self._seconds = seconds

    def monotonic(self) -> float:
        return self._seconds()


@dataclass(frozen=True, slots=True)
class Played:
    """What came of seeds: what was wrong, each with what had happened by then, and what was exercised."""

    wrong: Sequence[str]
    seen: Counter[str]


async def play(seed: int, directory: Path, steps: int = STEPS) -> Played:
    """Play one seed over a new store in ``directory``."""
    embedded(directory / "day.db")
    day = Day(directory, random.Random(seed))  # noqa: S311 -- the same day each time is the point
    for number, kind in enumerate(day.draw.sample(list(KINDS), A_DAY)):
        day.kinds[f"item-{number}"] = kind
        day.service.edit(f"item-{number}", BEFORE)
    day.service.hold("levels", LEVELS)
    await day.begin()
    try:
        await _happen(day, steps)
        await _drain(day)
        await day.judge()
    finally:
        await day.store.close()
    return Played([*day.story, *day.wrong] if day.wrong else [], day.seen)


@functools.cache
def _playbooks(texts: tuple[tuple[str, str], ...]) -> tuple[Catalogue, Library]:
    """Return what can be done and the playbooks by these names, which no day changes."""
    with folder() as place:
        for name, text in texts:
            (place / f"{name}.yaml").write_text(text, encoding="utf-8")
        kinds = catalogue()
        library = load_library((place,), kinds, None, {})
        assert library.playbooks.keys() == dict(texts).keys(), library.complaints
        return kinds, library


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder in memory where there is one: the disk is not what is tested here."""
    with TemporaryDirectory(prefix="bed-seed-", dir=memory()) as directory:
        yield Path(directory)


async def _happen(day: Day, steps: int) -> None:
    happenings: tuple[tuple[int, Callable[[], Awaitable[None]]], ...] = (
        (6, day.deliver), (10, day.work), (5, day.wait), (3, day.answer), (2, day.trouble), (1, day.pause),
        (1, day.meddle), (1, day.again), (1, day.tidy),
    )  # fmt: skip
    for _ in range(steps):
        [what] = day.draw.choices([one for _, one in happenings], [weight for weight, _ in happenings])
        day.story.append(f"{day.seconds:8.1f} {getattr(what, '__name__', '')}")
        await what()
        await day.look()
        if day.wrong:
            return


async def _drain(day: Day) -> None:
    """Let everything come to its end: no more faults, no pause, and time that leaps to what is due next."""
    day.service.faults.clear()
    if day.paused:
        await day.pause()
    for turn in range(_DRAIN):
        await day.work()
        if turn % _TIDY == 0:
            await day.tidy()
        await day.look()
        left, due = await still_open(day.store)
        if day.wrong or (not left and turn >= A_DAY):
            return
        ahead = (due - day.store.now()).total_seconds() if due is not None else 0
        day.seconds += max(ahead, 0.5 if turn < _PATIENT else 60)


async def still_open(store: SqlStore) -> tuple[int, datetime | None]:
    """Return how many runs are not over, and when the first of them may be taken up."""
    at = func.max(runs.c.due_at, func.coalesce(runs.c.lease_until, runs.c.due_at), type_=runs.c.due_at.type)
    async with store.db.reading() as tx:
        query = select(func.count(), func.min(at, type_=at.type)).where(runs.c.finished_at.is_(None))
        left, due = (await tx.execute(query)).one()
        return left, due


@dataclass(slots=True)
class Tally:
    """How many seeds were played, in their order, how many went wrong, and what was exercised."""

    first: int
    played: int = 0
    failed: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """Return the line to quote."""
        exercised = ", ".join(f"{count:,} {what}" for what, count in sorted(self.seen.items()))
        last = self.first + self.played - 1
        return f"{self.played:,} seeds ({self.first} to {last}): {self.failed} failed; {exercised}"


def seeds(first: int, count: int, say: Callable[[str], None], jobs: int = 1, within: float = math.inf) -> Tally:
    """Play many, in so many processes, or as many as there is time for ``within`` so many seconds."""
    tally, until = Tally(first), time.monotonic() + within
    with folder() as place, multiprocessing.get_context("spawn").Pool(jobs, _settle, (place,)) as pool:
        for seed, one in pool.imap(_one, range(first, first + count), _CHUNK):
            tally.seen += one.seen
            tally.played += 1
            if one.wrong:
                tally.failed += 1
                say("\n".join([f"seed {seed}:", *one.wrong]))
            if tally.played % _TELL == 0:
                say(f"{tally.played:,} of {count:,} seeds, {tally.failed} failed")
            if time.monotonic() > until:
                break
    return tally


@contextmanager
def quickly() -> Iterator[None]:
    """Play seeds without threads, and put no statement together twice: most of a day's time went into that."""
    with inline(), ExitStack() as kept:
        kept.enter_context(mock.patch.object(sqlite, "_engine", functools.cache(sqlite._engine)))
        kept.enter_context(spelled_once())
        yield


_PROCESS = ExitStack()
"""What a process of the pool has settled into; it ends with the process."""


def _settle(place: Path) -> None:
    """Get a process ready, in a folder of its own."""
    _PROCESS.enter_context(quickly())
    os.chdir(Path(mkdtemp(dir=place)))
    gc.freeze()
    gc.set_threshold(50_000)  # a tenth of the time of a seed went into looking for garbage


def _one(seed: int) -> tuple[int, Played]:
    return seed, asyncio.run(play(seed, Path.cwd()))
