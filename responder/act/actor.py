"""The actor: claims due runs and takes each one a turn further."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from responder.act.after import undoing, verifying
from responder.act.before import awaiting, checking, over, ready
from responder.act.during import acting
from responder.act.effects import LANDING_GRACE
from responder.act.ends import look_again_at
from responder.act.engine import TURN_SECONDS, Engine, Next
from responder.act.kept import kept
from responder.act.plan import Prepared, names_for
from responder.act.reach import reaching
from responder.act.resolving import resolving
from responder.act.reverting import reverting
from responder.domain.errors import Conflict, PlaybookError, StoreError, Unavailable
from responder.domain.limits import halted, subject_of
from responder.domain.runs import Run, RunState, advance
from responder.domain.targets import connection_of
from responder.domain.verdicts import Verdict
from responder.playbook.model import Playbook
from responder.playbook.render import render_names
from responder.ports.queues import NO_REST
from responder.ports.store import UNCLAIMED_AFTER, RunEnd, Standing

CLAIM = 64
"""Turns under way at once, those that hang not counted."""
MOST = 4 * CLAIM
"""Turns under way at once, whatever they wait for."""
BEHIND = CLAIM // 8
"""From so many turns under way on, that do not hang, there is more to do than gets done at once."""
SLOW_SECONDS = 1.0
"""A turn that takes longer waits for the world outside."""
BULKHEAD = 8
"""So many slow turns on one connection, and no further turn on it begins: one that hangs holds up no other."""
LINGER_SECONDS = 0.005
REST, LONGEST_REST = timedelta(seconds=0.25), timedelta(seconds=15)
"""So long what is given back is left alone, the longer the oftener the store fails; at first not at all."""
OFTEN_SECONDS = 60.0
"""Who gives back so soon after the last time does so often: a store that fails of a few things only, or of all."""
LEFT = timedelta(seconds=1)
"""So long a run is left to other replicas, time and again: whoever comes first has it."""
AWAY = timedelta(minutes=1)
"""A turn that begins so much later than it was due: no lease lasts so long, so there was nobody to take it."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A turn that has not ended: on which connection, and since when (monotonic)."""

    run: str
    connection: str
    began: float


class Actor:
    """Works on runs, several at a time."""

    def __init__(self, engine: Engine, *, concurrency: int = CLAIM) -> None:
        """``concurrency`` bounds the turns under way that do not hang."""
        self._engine = engine
        self._concurrency = concurrency
        self._under_way: dict[asyncio.Task[None], _UnderWay] = {}
        self._full = False
        """Whether the last claim took all that there was room for."""
        self._cut_short = False
        """Whether the store failed us: what we claimed may be held although nobody works on it."""
        self._gave_back_at = -math.inf
        self._rest = NO_REST
        self._stumbled: set[str] = set()
        """Runs whose last turn ended by a fault of ours: that counts, and their leases run out by themselves."""

    @property
    def behind(self) -> bool:
        """Whether runs wait for their turn, or many take one."""
        return self._full or len(self._under_way) - len(self._slow()) >= BEHIND

    async def turn(self) -> int:
        """Claim as many due runs as there is room for and start their turns; returns how many were claimed.

        When there is no room, waits for some. Whenever there may be more to claim, it returns at least ``CLAIM``.
        """
        slow = self._slow()
        room = self._room(slow)
        if room <= 0:
            await asyncio.wait(self._under_way, timeout=SLOW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return CLAIM
        if room < self._concurrency // 4:
            # A moment brings more room: claiming one run costs as much as claiming many.
            await asyncio.wait(self._under_way, timeout=LINGER_SECONDS)
            room = self._room(self._slow())
        hanging = [name for name, turns in Counter(slow).items() if turns >= BULKHEAD]
        runs = await self._claim(room, hanging)
        for run in runs:
            task = asyncio.create_task(self._one(run), name=f"run {run.id}")
            self._under_way[task] = _UnderWay(run.id, connection_of(run.target), self._engine.clock.monotonic())
            task.add_done_callback(self._under_way.pop)
        self._full = len(runs) == room
        return CLAIM if self._full else len(runs)

    async def _claim(self, room: int, hanging: Sequence[str]) -> Sequence[Run]:
        """Claim due runs; what the store's failure has left claimed is given back first."""
        store = self._engine.store
        if self._cut_short:
            self._cut_short = False  # a turn that ends meanwhile is given back the next time
            going_on = [one.run for task, one in self._under_way.items() if not task.done()]
            now = self._engine.clock.monotonic()
            often = now - self._gave_back_at < OFTEN_SECONDS
            rest = min(max(2 * self._rest, REST), LONGEST_REST) if often else NO_REST
            try:
                given_back = await store.give_back([*going_on, *self._stumbled], LANDING_GRACE, rest)
            except StoreError:
                self._cut_short = True
                raise
            self._gave_back_at, self._rest = now, rest
            self._engine.on_fact("given_back", runs=given_back)
        try:
            claimed = await store.claim_runs(room, hanging)
        except Unavailable:
            self._cut_short = True  # it may have been committed, and only the answer was lost
            raise
        self._stumbled.difference_update(run.id for run in claimed)
        return claimed

    def _slow(self) -> list[str]:
        """Return the connection of each turn that hangs."""
        since = self._engine.clock.monotonic() - SLOW_SECONDS
        return [one.connection for one in self._under_way.values() if one.began < since]

    def _room(self, slow: Sequence[str]) -> int:
        return min(self._concurrency - (len(self._under_way) - len(slow)), MOST - len(self._under_way))

    async def drain(self) -> None:
        """Wait until the turns under way have ended."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def _one(self, run: Run) -> None:
        started = self._engine.clock.monotonic()
        try:
            await take_turn(self._engine, run)
        except Conflict as error:
            # Given back, as below, where it is ours still: the store may only have been waited for in vain.
            self._cut_short = True
            self._engine.on_fact("turn_lost", run=run.id, error=str(error))
        except Unavailable as error:
            # Given back once the store answers again; else the lease runs out by itself, and the run is claimed again.
            self._cut_short = True
            self._engine.on_fact("turn_failed", run=run.id, error=str(error))
        except StoreError as error:
            self._stumbled.add(run.id)
            self._engine.on_fact("turn_failed", run=run.id, error=str(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the worker; the claim has counted it
            self._stumbled.add(run.id)
            self._engine.on_fact("turn_crashed", run=run.id, error=f"{type(error).__name__}: {error}")
        finally:
            self._engine.on_fact("turn", run=run.id, seconds=self._engine.clock.monotonic() - started)


async def take_turn(engine: Engine, run: Run) -> Run:
    """Take a claimed run as far as it goes now, and keep where it stands."""
    try:
        playbook = await engine.playbook_of(run)
    except PlaybookError as error:
        return await _leave_to_others(engine, run, error)
    if playbook is None:
        return await _without_playbook(engine, run)
    run = _ours_again(run)
    playbook = render_names(playbook.capped(engine.caps_of(run)), names_for(run))
    until = engine.clock.monotonic() + TURN_SECONDS / 2
    standing = await engine.store.standing(run, reaching(playbook.limits, run))
    run = _time_away(run, standing)
    following, prepared = await _handle(engine, run, playbook, standing, ())
    while not following.run.state.final and following.at is None and engine.clock.monotonic() < until:
        standing = replace(following.standing or standing, now=engine.clock.now())
        _say(engine, run, following.run)
        run = following.run
        following, prepared = await _handle(engine, run, playbook, standing, prepared)
    _say(engine, run, following.run)
    run = following.run
    if run.state.final:
        await _finish(engine, run, playbook, following)
        return run
    due = min(following.at or standing.now, _wake_by(run))
    if following.end is not None:
        await engine.store.keep(replace(run, due_at=due), following.end, following.audit)
        _call(engine, run, asks=bool(following.end.needs_person))
    else:
        await engine.store.save(replace(run, due_at=due), following.audit, following.ask)
        _call(engine, run, asks=following.ask is not None)
    return run


def _time_away(run: Run, standing: Standing) -> Run:
    """Return the run with its deadline as much later as nobody could work on it: without the store, or without us.

    Else all that was being verified would be undone behind an outage, without a single look (engine.md).
    """
    late = standing.now - run.due_at
    if late < AWAY or run.state is RunState.PARKED:
        return run
    return replace(run, deadline=run.deadline + late)


def _say(engine: Engine, before: Run, after: Run) -> None:
    if after.state is not before.state:
        engine.on_fact("run_state", run=after.id, playbook=after.playbook, target=after.target, state=after.state.value)


def _wake_by(run: Run) -> datetime:
    """Never sleep past the deadline; a parked or undoing run is beyond it."""
    if run.state in (RunState.PARKED, RunState.UNDOING):
        return run.due_at + timedelta(hours=1)
    return run.deadline


def _call(engine: Engine, run: Run, *, asks: bool) -> None:
    """Say that somebody is needed, so that telling it waits for nothing."""
    if asks:
        engine.on_fact("person_needed", run=run.id, incident=run.incident_id)


async def _finish(engine: Engine, run: Run, playbook: Playbook, following: Next) -> None:
    end = replace(following.end or RunEnd(), trip_after=playbook.limits.trip_after)
    await engine.store.finish(run, end, following.audit)
    _call(engine, run, asks=bool(end.needs_person))
    if end.retry_at is not None:
        engine.on_fact("episodes_due", run=run.id, at=end.retry_at.isoformat())
    ended = run.kept_at or run.finished_at or engine.clock.now()
    engine.on_fact(
        "run_finished",
        seconds=(ended - run.created_at).total_seconds(),
        run=run.id,
        playbook=run.playbook,
        target=run.target,
        state=run.state.value,
        verdict=run.verdict.value if run.verdict else "",
        reason=run.reason,
    )


async def _without_playbook(engine: Engine, run: Run, reason: str = Verdict.PLAYBOOK_GONE.sentence) -> Run:
    ended = replace(run, state=RunState.UNKNOWN, verdict=Verdict.PLAYBOOK_GONE, reason=reason)
    end = RunEnd(needs_person=f"{run.playbook}: {reason}")
    await engine.store.finish(ended, end)
    _call(engine, ended, asks=True)
    return ended


async def _leave_to_others(engine: Engine, run: Run, error: PlaybookError) -> Run:
    """Leave a run to a program that can read its playbook: while versions change, another replica is newer."""
    now = engine.clock.now()
    since = run.progress.left_since or now
    if now - since >= UNCLAIMED_AFTER:
        return await _without_playbook(engine, run, f"No replica can read its playbook: {error}")
    left = replace(run, due_at=now + LEFT, progress=run.progress.model_copy(update={"left_since": since}))
    if run.progress.left_since is None:
        engine.on_fact("run_left", run=run.id, playbook=run.playbook, error=str(error))
    await engine.store.save(left)
    return left


def _ours_again(run: Run) -> Run:
    """Return a run that this program can go on with."""
    if run.progress.left_since is None:
        return run
    return replace(run, progress=run.progress.model_copy(update={"left_since": None}))


_Checked = tuple[Next, tuple[Prepared, ...]]


async def _handle(
    engine: Engine,
    run: Run,
    playbook: Playbook,
    standing: Standing,
    prepared: tuple[Prepared, ...],
) -> tuple[Next, tuple[Prepared, ...]]:
    """Do what the run's state asks for."""
    playbook = playbook.for_items(run.progress.items).in_portions(run.progress.portions)
    ended = over(run, standing)
    if ended is not None:
        return ended, ()
    if run.state is RunState.CHECKING:
        return await _diagnosed(engine, run, playbook, checking(engine, run, playbook, standing))
    if run.state is RunState.READY:
        return await ready(engine, run, playbook, standing, prepared)
    if run.state is RunState.ACTING:
        return await acting(engine, run, playbook, standing, prepared), ()
    return await _further(engine, run, playbook, standing), ()


async def _diagnosed(engine: Engine, run: Run, playbook: Playbook, checked: Awaitable[_Checked]) -> _Checked:
    """Take the looks for people beside the checks: what is changed next may destroy what they would have seen."""
    if not playbook.diagnose:
        return await checked
    looks = asyncio.ensure_future(engine.diagnose(run, playbook))
    try:
        return await checked
    finally:
        await looks


_AFTER: Mapping[RunState, Callable[[Engine, Run, Playbook, Standing], Awaitable[Next]]] = {
    RunState.RESOLVING: resolving,
    RunState.VERIFYING: verifying,
    RunState.KEPT: kept,
    RunState.REVERTING: reverting,
    RunState.UNDOING: undoing,
}


async def _further(engine: Engine, run: Run, playbook: Playbook, standing: Standing) -> Next:
    """The states that have no use for a prepared plan."""
    if run.state in _AFTER:
        return await _AFTER[run.state](engine, run, playbook, standing)
    match run.state:
        case RunState.AWAITING_APPROVAL:
            return awaiting(run, playbook, standing)
        case RunState.PARKED:
            return _parked(run, playbook, standing)
        case _:
            msg = f"nothing is to be done for a run that is {run.state}"
            raise ValueError(msg)


def _parked(run: Run, playbook: Playbook, standing: Standing) -> Next:
    """Stay parked while a halt covers the run, and say which."""
    refusal = halted(standing.pauses, subject_of(run, playbook.actions), standing.now)
    if refusal is None:
        return _resumed(run, standing)
    return Next(replace(run, verdict=refusal.verdict, reason=refusal.reason), at=look_again_at(refusal, standing))


def _resumed(run: Run, standing: Standing) -> Next:
    """Go on where the run was parked; the time since then does not count (engine.md)."""
    since = run.progress.parked_at or standing.now
    progress = run.progress.model_copy(update={"parked_at": None})
    return Next(advance(replace(run, deadline=run.deadline + (standing.now - since), progress=progress), "resumed"))
