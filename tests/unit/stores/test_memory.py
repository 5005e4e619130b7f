"""What a process remembers for a server that may have lost it, and which server is which."""

from datetime import UTC, datetime
from typing import cast

import pytest

from responder.domain.records import Record, RecordState
from responder.domain.runs import Run
from responder.stores.core.memory import SECONDS, Memory, later
from responder.stores.core.server import Server

RUN = cast("Run", object())


def record(name: str, state: RecordState = RecordState.INTENDED) -> Record:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    return Record(name, "run", 0, "step", "http.request", "http/shop", {}, {}, {}, state, at)


def test_the_latest_state_of_a_record_is_remembered_for_two_minutes() -> None:
    now = 0.0
    memory = Memory(lambda: now)
    memory.keep([(RUN, record("a")), (RUN, record("b"))])
    now = SECONDS - 1
    memory.keep([(RUN, record("a", RecordState.APPLIED))])
    assert [(one.record.id, one.record.state.value) for one in memory.recent()] == [("b", "intended"), ("a", "applied")]
    now = SECONDS + 1
    assert [one.record.id for one in memory.recent()] == ["a"]
    now = 3 * SECONDS
    assert memory.recent() == []


@pytest.mark.parametrize(
    ("one", "other", "is_later"),
    [
        (RecordState.APPLIED, RecordState.INTENDED, True),
        (RecordState.INTENDED, RecordState.APPLIED, False),
        (RecordState.UNDO_INTENDED, RecordState.APPLIED, True),
        (RecordState.UNDONE, RecordState.UNDO_INTENDED, True),
        (RecordState.UNDO_INTENDED, RecordState.UNDONE, False),
        (RecordState.APPLIED, RecordState.APPLIED, False),
    ],
)
def test_what_is_remembered_never_takes_a_record_back(one: RecordState, other: RecordState, *, is_later: bool) -> None:
    assert later(one, other) is is_later


def test_an_earlier_timeline_of_the_same_cluster_is_an_old_primary() -> None:
    assert Server("7", 1).precedes(Server("7", 2))
    assert not Server("7", 2).precedes(Server("7", 2))
    assert not Server("8", 1).precedes(Server("7", 2)), "another cluster, which has timelines of its own"
    assert str(Server("7", 2)) == "7/2"
