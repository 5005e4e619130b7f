"""Small builders and walks for the stores' tests."""
# ruff: noqa: ANN401 - a builder takes whatever fields the test is about

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from responder.domain.alerts import Severity
from responder.domain.episodes import Episode, EpisodeState, Incident
from responder.domain.ids import new_id
from responder.domain.limits import Limits, Rate, Refusal
from responder.domain.modes import Mode
from responder.domain.records import Record, RecordState
from responder.domain.runs import Context, Run, RunState
from responder.ports.store import Authority, Kind, NewDelivery, RunEnd, Slice, SliceChanges
from responder.stores.core.part import LINGER
from responder.stores.core.store import SqlStore

HOUR = timedelta(hours=1)
FREE = Authority(Limits(), effects=1)
WINDOW = Limits(per_playbook=Rate(1000, HOUR))
"""Limits that read the effects of an hour."""


def advance(store: SqlStore, by: timedelta) -> None:
    """Let the store's clock jump ahead."""
    store.db.clock.anchor(store.now() + by)  # type: ignore[attr-defined] # both databases have one


async def deliver(store: SqlStore, *ids: str, body: bytes = b"{}") -> None:
    """Accept one delivery for each id."""
    answers = await store.accept([NewDelivery(one, "am", store.now(), body, 1) for one in ids])
    assert list(answers) == [None] * len(ids)


def episode(store: SqlStore, **changes: Any) -> Episode:
    """Return an open episode."""
    now = store.now()
    one = Episode(
        id=new_id(),
        source="am",
        fingerprint=new_id(),
        state=EpisodeState.OPEN,
        labels={"alertname": "HighLatency"},
        annotations={},
        generator_url="",
        severity=Severity.HIGH,
        starts_at=now,
        opened_at=now,
        evidence_at=now,
    )
    return replace(one, **changes)


def incident(store: SqlStore, **changes: Any) -> Incident:
    """Return an open incident."""
    one = Incident(
        id=new_id(),
        source="am",
        receiver="responder",
        group_key=new_id(),
        group_labels={"alertname": "HighLatency"},
        external_url="http://am",
        severity=Severity.HIGH,
        opened_at=store.now(),
    )
    return replace(one, **changes)


def run(store: SqlStore, **changes: Any) -> Run:
    """Return a run that is ready."""
    now = store.now()
    one = Run(
        id=new_id(),
        kind="forward",
        playbook="restart",
        revision="0" * 64,
        target="http/checkout",
        state=RunState.READY,
        mode=Mode.AUTO,
        severity=Severity.HIGH,
        incident_id="",
        context=Context(labels={"alertname": "HighLatency"}),
        created_at=now,
        due_at=now,
        deadline=now + HOUR,
    )
    return replace(one, **changes)


def record(store: SqlStore, of: Run, **changes: Any) -> Record:
    """Return a record about to be committed."""
    one = Record(
        id=new_id(),
        run_id=of.id,
        index=0,
        step="scale",
        action="http.request",
        target=of.target,
        arguments={"workers": 6},
        before={"workers": 4},
        planned={"workers": 6},
        state=RecordState.INTENDED,
        created_at=store.now(),
    )
    return replace(one, **changes)


async def write(store: SqlStore, **changes: Any) -> None:
    """Write one slice, and let the moment pass before which nothing of it is told."""
    async with store.slice() as slice_:
        await slice_.write(SliceChanges(**changes))
    if any(changes.get("tell", {}).values()):
        advance(store, LINGER)


async def started(store: SqlStore, *, tell: Collection[str] = (), **changes: Any) -> Run:
    """Return a claimed run with an incident and an open episode."""
    about = incident(store)
    firing = episode(store, incident_id=about.id)
    created = run(store, incident_id=about.id, **changes)
    await write(
        store,
        incidents=[about],
        episodes=[firing],
        runs=[(created, frozenset({firing.id}))],
        tell={about.id: frozenset(tell)},
    )
    return await claimed(store, created.id)


async def claimed(store: SqlStore, run_id: str) -> Run:
    """Claim until the run with this id is ours."""
    found = {one.id: one for one in await store.claim_runs(100)}
    return found[run_id]


async def acting(store: SqlStore, **changes: Any) -> Run:
    """Return a run that holds its slot."""
    one = replace(await started(store, **changes), state=RunState.ACTING, started_at=store.now())
    assert await store.take_slot(one) is None
    return one


async def applied(store: SqlStore, of: Run, authority: Authority = FREE, **changes: Any) -> Record:
    """Intend and settle one forward effect."""
    one = record(store, of, **changes)
    assert await store.intend(of, one, authority) is None
    done = replace(one, state=RecordState.APPLIED, observed=one.planned)
    await store.settle(of, done)
    return done


async def finished(store: SqlStore, of: Run, state: RunState = RunState.VERIFIED, **end: Any) -> Run:
    """End a run."""
    over = replace(of, state=state)
    await store.finish(over, RunEnd(**end))
    return over


def limits(per: int, **changes: Any) -> Authority:
    """Return an authority with a limit per target and hour."""
    effects = changes.pop("effects", 1)
    return Authority(Limits(per_target=Rate(per, HOUR), **changes), effects=effects)


def verdict(refusal: Refusal | None) -> str:
    """Return the refusal's word, empty when there is none."""
    return "" if refusal is None else refusal.verdict.value


async def by_id(store: SqlStore, kind: Kind, **filters: str) -> Mapping[str, Mapping[str, Any]]:
    """Return a list's items by id."""
    page = await store.page(kind, filters, 1000, "")
    return {str(item["id"]): item for item in page.items}


async def actions_of(store: SqlStore, subject: str) -> list[str]:
    """Return what the audit log says of a subject, oldest first."""
    page = await store.page("audit", {"subject": subject}, 1000, "")
    return [str(item["action"]) for item in reversed(page.items)]


async def current(slice_: Slice, one: Episode) -> Episode:
    """Read an episode back."""
    (found,) = await slice_.episodes_by_key([(one.source, one.fingerprint)])
    return found
