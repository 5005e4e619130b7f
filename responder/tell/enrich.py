"""Finding out what people would ask next: beside the telling, never before it, and bounded in time and number."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from responder.domain.errors import StoreError
from responder.domain.findings import Finding
from responder.domain.notification import Account
from responder.domain.runs import Run
from responder.playbook.model import Playbook
from responder.ports.clock import Clock
from responder.ports.findings import FindingsStore
from responder.ports.tools import Tools
from responder.tell.diagnosis import diagnose
from responder.tell.docs import subject
from responder.tell.facts import OnFact
from responder.tell.headline import main_run, ranked
from responder.tell.way import Way

AT_ONCE = 8
"""So many incidents are looked at side by side: a Prometheus that is slow is not asked by all of them."""
SECONDS = 12.0
"""One incident, with everything that is looked for; the lease is 30 s."""
PATIENCE = 5.0
"""Seconds that looking gives way to acting, before each claim."""
AGAIN = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
"""An incident is looked at when it is new, and so long after each look, while it is open."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a look starts from: the incident, and the playbook that is for it, if there is one."""

    account: Account
    playbook: Playbook | None
    now: datetime


Look = Callable[[Scene], Awaitable[Sequence[Finding]]]
"""Finds something out; it may take its time and may raise StepError or ValueError."""


class Accounts(Protocol):
    """Who knows all about incidents."""

    async def accounts(self, incident_ids: Collection[str]) -> Mapping[str, Account]:
        """See ``ports.queues.Outbox.accounts``."""
        ...


class Enricher:
    """Takes incidents from their queue and keeps what it finds out about each."""

    def __init__(
        self,
        store: Accounts,
        findings: FindingsStore,
        clock: Clock,
        tools: Tools,
        *,
        playbook_for: Callable[[str, str], Playbook | None],
        clean: Callable[[str], str],
        on_fact: OnFact,
        looks: Sequence[Look] = (),
        seconds: float = SECONDS,
        way: Way | None = None,
    ) -> None:
        """``playbook_for`` goes by name and revision; ``clean`` takes secrets out of a text.

        ``way`` says when acting is behind; without one, looking gives way to nothing.
        """
        self._way = way or Way()
        self._store = store
        self._findings = findings
        self._clock = clock
        self._tools = tools
        self._playbook_for = playbook_for
        self._clean = clean
        self._on_fact = on_fact
        self._looks = (self._diagnosis, *looks)
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()

    async def turn(self) -> int:
        """Begin looking at what is due; returns how much that is."""
        room = AT_ONCE - len(self._tasks)
        if room <= 0:
            return 0
        await self._way.clear(PATIENCE)
        claimed = await self._findings.claim_looks(room)
        for incident_id in claimed:
            task = asyncio.create_task(self._look_at(incident_id), name="enrich")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claimed)

    async def drain(self) -> None:
        """Give up what is under way: it is looked at again by whoever comes next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def of_run(self, run: Run, playbook: Playbook) -> None:
        """Take a playbook's looks at the beginning of its run, before anything is changed. Raises nothing."""
        if not playbook.diagnose:
            return
        found = await diagnose(playbook, run.id, _names(run), self._tools, self._clock.now)
        try:
            await self._findings.found(run.incident_id, [self._cleaned(one) for one in found])
        except StoreError as error:
            self._on_fact("not_enriched", incident=run.incident_id, error=str(error))

    async def _look_at(self, incident_id: str) -> None:
        started = self._clock.monotonic()
        try:
            account = (await self._store.accounts([incident_id])).get(incident_id)
            if account is None:
                await self._findings.looked(incident_id, (), None)
                return
            found = await self._found(self._scene(account))
            new = await self._findings.looked(incident_id, found, self._again(account))
        except StoreError as error:
            self._on_fact("not_enriched", incident=incident_id, error=str(error))
            return
        seconds = round(self._clock.monotonic() - started, 3)
        self._on_fact("enriched", incident=incident_id, found=len(found), new=new, seconds=seconds)

    def _again(self, account: Account) -> timedelta | None:
        """Return when to look again: soon after it began, seldom later, and not at all once it is over."""
        if not account.incident.open:
            return None
        age = self._clock.now() - account.incident.opened_at
        return next((wait for wait in AGAIN if age < wait), None)

    def _scene(self, account: Account) -> Scene:
        run = main_run(account)
        about = subject(account, run, next(iter(ranked(account)), None))
        playbook = self._playbook_for(about.playbook, about.revision) if about is not None else None
        return Scene(account, playbook, self._clock.now())

    async def _found(self, scene: Scene) -> Sequence[Finding]:
        """Look for everything side by side; what takes too long or fails is left out, the rest is kept."""
        tasks = [asyncio.create_task(_tried(look, scene)) for look in self._looks]
        try:
            done, late = await asyncio.wait(tasks, timeout=self._seconds)
        finally:
            for task in tasks:
                task.cancel()
        if late:
            self._on_fact("not_enriched", incident=scene.account.incident.id, error=f"{len(late)} looks took too long")
        return [self._cleaned(one) for task in tasks if task in done for one in task.result()]

    async def _diagnosis(self, scene: Scene) -> Sequence[Finding]:
        """Take the playbook's looks where no run of it has taken them: it only tells, or was not allowed to run."""
        playbook, account = scene.playbook, scene.account
        worst = next(iter(ranked(account)), None)
        if playbook is None or worst is None or any(run.playbook == playbook.name for run in account.runs):
            return ()
        if any(one.name.startswith(f"diagnose:{worst.id}:") for one in account.findings):
            return ()
        names = {"labels": worst.labels, "annotations": worst.annotations, "connection": "", "owner": {}, "steps": {}}
        return await diagnose(playbook, worst.id, names, self._tools, self._clock.now)

    def _cleaned(self, one: Finding) -> Finding:
        return replace(one, text=self._clean(one.text), body=self._clean(one.body))


async def _tried(look: Look, scene: Scene) -> Sequence[Finding]:
    try:
        return await look(scene)
    except Exception:  # noqa: BLE001 - what cannot be found out is left out: nothing is decided by it
        return ()


def _names(run: Run) -> dict[str, object]:
    known = run.context
    return {
        "labels": known.labels, "annotations": known.annotations, "connection": known.connection, "owner": {},
        "steps": {},
    }  # fmt: skip
