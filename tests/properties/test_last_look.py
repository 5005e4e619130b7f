"""Promise 12 as a property: whatever bytes Alertmanager answers, only an alert that is plainly active is acted on."""

import asyncio
import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.act.engine import Engine
from responder.act.witness import last_look
from responder.clients.alertmanager import alerts_of
from responder.domain.errors import Temporary
from responder.domain.limits import Refusal
from responder.domain.runs import Run
from responder.ports.witness import NoWitness, Picture

OURS = "0123456789abcdef"
texts = st.sampled_from(["", "active", "suppressed", "unprocessed", "Active", OURS, "2026-01-05T12:00:00Z"])
scalars = st.none() | st.booleans() | st.integers() | texts
marks: st.SearchStrategy[object] = st.sampled_from([[], ["s1"], [""], None, "s1", {}])
statuses = st.fixed_dictionaries(
    {"state": texts | scalars, "silencedBy": marks, "inhibitedBy": marks}, optional={"mutedBy": marks}
)
good = st.fixed_dictionaries(
    {
        "fingerprint": st.sampled_from([OURS, "fedcba9876543210"]),
        "labels": st.just({"alertname": "Down"}),
        "annotations": st.just({}),
        "startsAt": st.just("2026-01-05T12:00:00.000Z"),
        "status": st.fixed_dictionaries(
            {
                "state": st.sampled_from(["active", "suppressed", "unprocessed"]),
                "silencedBy": st.sampled_from([[], ["s"]]),
                "inhibitedBy": st.sampled_from([[], ["i"]]),
            }
        ),
    }
)
odd = st.fixed_dictionaries(
    {
        "fingerprint": st.sampled_from([OURS, OURS.upper(), "", None]),
        "labels": st.just({"alertname": "Down"}) | scalars,
        "annotations": st.just({}) | scalars,
        "startsAt": texts | scalars,
        "status": statuses | scalars,
    }
)
bodies = st.one_of(
    st.binary(max_size=60),
    st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8).map(
        lambda value: json.dumps(value).encode()
    ),
    st.lists(good, max_size=3).map(lambda value: json.dumps(value).encode()),
    st.lists(good | odd, max_size=3).map(lambda value: json.dumps(value).encode()),
)


@dataclass
class Answering(NoWitness):
    """A sender that answers these bytes, read as the client reads them."""

    body: bytes
    sources: Collection[str] = ("am",)

    async def picture(self, source: str, within: float | None = None) -> Picture:
        try:
            return Picture({one.fingerprint: one for one in alerts_of(self.body)}, time.monotonic())
        except (ValueError, OverflowError) as error:
            raise Temporary("not understood") from error


@dataclass
class Around:
    """What the last look needs of the engine: a store that knows our alert, a clock, and whom to ask."""

    witness: Answering

    @property
    def store(self) -> "Around":
        return self

    @property
    def clock(self) -> "Around":
        return self

    async def alerts_of(self, run: Run) -> Sequence[tuple[str, str]]:
        return [("am", OURS)]

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def on_fact(self, name: str, /, **fields: object) -> None:
        """Nothing is counted here."""


def look(body: bytes) -> Refusal | None:
    engine = cast("Engine", Around(Answering(body)))
    return asyncio.run(last_look(engine, cast("Run", SimpleNamespace(created_at=datetime.now(UTC), effects=0)))).refusal


def plainly_active(body: bytes) -> bool:
    """Say, by what the text is, whether it is a list in which our alert's last entry is active and nothing else."""
    try:
        value = json.loads(body)
    except ValueError:
        return False
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return False
    ours = [one["status"] for one in value if one.get("fingerprint") == OURS]
    return bool(ours) and ours[-1] | {"mutedBy": None} == {
        "state": "active",
        "silencedBy": [],
        "inhibitedBy": [],
        "mutedBy": None,
    }


@pytest.mark.promise(12)
@settings(max_examples=400, deadline=None)
@given(bodies)
def test_promise_12_only_what_is_plainly_active_is_acted_on(body: bytes) -> None:
    refusal = look(body)
    if refusal is None:
        assert plainly_active(body)
    else:
        assert refusal.verdict.later


@settings(max_examples=100, deadline=None)
@given(st.lists(good, max_size=4))
def test_what_is_plainly_active_is_not_refused(alerts: list[object]) -> None:
    body = json.dumps(alerts).encode()
    assert (look(body) is None) == plainly_active(body)
