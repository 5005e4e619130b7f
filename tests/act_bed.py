"""A responder's engine on a real store and a real HTTP target, without the web around it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from responder.act.actor import take_turn
from responder.act.engine import Engine
from responder.app import catalogue
from responder.clients.toolbox import HttpSpec, PrometheusSpec, Toolbox
from responder.domain.alerts import Severity
from responder.domain.episodes import Decision, Episode, EpisodeState, Incident
from responder.domain.ids import new_id
from responder.domain.records import Record
from responder.domain.runs import Context, Run, RunState
from responder.playbook.model import Playbook
from responder.playbook.schema import load_playbook
from responder.ports.action import Action
from responder.ports.store import SliceChanges, Store
from responder.stores.registry import open_store

TARGET = "http/checkout/workers"
FIX = """\
schema: 1
name: add-workers
summary: Add workers.
mode: {mode}
matchers:
  - alertname="Overloaded"
target: http/checkout/workers
{limits}
steps:
  - id: add
    http.request:
      service: checkout
      read: GET /admin/workers
      send: PUT /admin/workers
      set:
        workers:
          by: 2
          max: 8
{more_steps}
verify:
  - name: workers
    probe: http.get
    with:
      service: checkout
      path: /admin/workers
      pointer: /workers
    {verify}
    within: {within}
{tail}
"""
SECOND_STEP = """\
  - id: cache
    http.request:
      service: checkout
      read: GET /admin/cache
      send: PUT /admin/cache
      json:
        megabytes: 128
"""


def playbook_text(
    *,
    mode: str = "auto",
    limits: str = "",
    more_steps: str = "",
    verify: str = "equals: 6",
    within: str = "1s",
    tail: str = "",
) -> str:
    """Return a playbook that adds two workers and checks that there are six."""
    return FIX.format(mode=mode, limits=limits, more_steps=more_steps, verify=verify, within=within, tail=tail)


class Wall:
    """The machine's own clock."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def now(self) -> datetime:
        return self._store.now()

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Bed:
    """The engine, its store, and what happened."""

    store: Store
    engine: Engine
    tools: Toolbox
    playbooks: dict[str, Playbook]
    facts: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    async def begin(
        self,
        text: str,
        *,
        target: str = TARGET,
        episodes: int = 1,
        item: str = "",
        within: timedelta = timedelta(minutes=10),
    ) -> Run:
        """Keep a playbook and create a run of it, as decide does."""
        playbook = load_playbook(text, "test.yaml", catalogue(), None)
        self.playbooks[playbook.revision] = playbook
        await self.store.keep_playbook(playbook.name, playbook.revision, playbook.file, playbook.text)
        now = self.store.now()
        incident = Incident(
            id=new_id(),
            source="am",
            receiver="r",
            group_key=new_id(),
            group_labels={},
            external_url="",
            severity=Severity.HIGH,
            opened_at=now,
        )
        labels = {"alertname": "Overloaded", **({"item": item} if item else {})}
        opened = [
            Episode(
                id=new_id(),
                source="am",
                fingerprint=new_id(),
                state=EpisodeState.OPEN,
                labels=labels,
                annotations={},
                generator_url="",
                severity=Severity.HIGH,
                starts_at=now,
                opened_at=now,
                evidence_at=now,
                incident_id=incident.id,
            )
            for _ in range(episodes)
        ]
        run = Run(
            id=new_id(),
            kind="forward",
            playbook=playbook.name,
            revision=playbook.revision,
            target=target,
            state=RunState.RESOLVING,
            mode=playbook.mode,
            severity=Severity.HIGH,
            incident_id=incident.id,
            context=Context(source="am", fingerprint=opened[0].fingerprint, labels=labels),
            created_at=now,
            due_at=now,
            deadline=now + within,
        )
        async with self.store.slice() as tx:
            await tx.write(
                SliceChanges(
                    episodes=opened,
                    incidents=[incident],
                    runs=[(run, frozenset(episode.id for episode in opened))],
                    tell={incident.id: frozenset({"console:"})},
                ),
            )
        return run

    async def close_episode(self, run: Run) -> None:
        """Let the alert of a run be resolved."""
        async with self.store.slice() as tx:
            found = await tx.episodes_by_key({("am", run.context.fingerprint)})
            await tx.write(
                SliceChanges(episodes=[replace(e, state=EpisodeState.CLOSED, closed_at=tx.now) for e in found]),
            )

    async def work(self, run: Run, *, until: frozenset[RunState] | None = None, turns: int = 200) -> Run:
        """Take turns until the run is over (or in one of ``until``)."""
        for _ in range(turns):
            current = await self.store.run(run.id)
            assert current is not None
            if current.state.final or (until and current.state in until):
                return current
            claimed = await self.store.claim_runs(4)
            for each in claimed:
                await take_turn(self.engine, each)
            if not claimed:
                # The store has no event for "due"; turns poll, as the workers do.
                await asyncio.sleep(0.02)
        raise AssertionError(f"run {run.id} did not come to its end")

    def said(self, name: str) -> list[Mapping[str, object]]:
        """Return the facts with this name."""
        return [fields for fact, fields in self.facts if fact == name]


async def needs_person(bed: Bed, run: Run) -> str:
    """Return why the run's incident needs a person, empty when it does not."""
    account = await bed.store.account(run.incident_id)
    assert account is not None
    return account.incident.needs_person


async def sick(bed: Bed, run: Run, count: int) -> None:
    """Let so many further targets of the run's playbook have alerts, as decide writes it."""
    now = bed.store.now()
    async with bed.store.slice() as tx:
        (own,) = await tx.episodes_by_key({("am", run.context.fingerprint)})
        others = [replace(own, id=new_id(), fingerprint=new_id()) for _ in range(count)]
        targets = {own.id: run.target} | {one.id: f"http/checkout/{one.id}" for one in others}
        decided = [Decision(one, run.playbook, "run", "", now, target) for one, target in targets.items()]
        await tx.write(SliceChanges(episodes=others, decisions=decided))


async def open_bed(
    url: str,
    target_url: str,
    prometheus_url: str = "",
    *,
    secret: str = "",
    other_url: str = "",
    patience: timedelta = timedelta(seconds=3),
) -> Bed:
    """Open a store at ``url`` and an engine that reaches the target as ``checkout``, and perhaps an ``other``."""
    store = open_store(url)
    await store.open()
    services = {"checkout": target_url, **({"other": other_url} if other_url else {})}
    http = {name: HttpSpec(at, ("* /*",), {}, lambda: None, patience) for name, at in services.items()}
    prometheus = {"default": PrometheusSpec(prometheus_url, (), {}, lambda: None)} if prometheus_url else {}
    tools = Toolbox(http, prometheus)
    playbooks: dict[str, Playbook] = {}
    facts: list[tuple[str, Mapping[str, object]]] = []
    actions = catalogue().actions

    def on_fact(name: str, /, **fields: object) -> None:
        facts.append((name, fields))

    async def playbook_of(run: Run) -> Playbook | None:
        return playbooks.get(run.revision)

    def action_of(record: Record) -> Action:
        return actions[record.action].model_validate(record.arguments)

    def holds_secret(value: object) -> bool:
        return bool(secret) and secret in str(value)

    engine = Engine(store, tools, Wall(store), playbook_of, holds_secret, action_of, on_fact)
    return Bed(store, engine, tools, playbooks, facts)
