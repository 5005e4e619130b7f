"""Transitions as a table, and the hash of what people approve."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.act.plan import plan_hash
from responder.domain.alerts import Severity
from responder.domain.modes import Mode
from responder.domain.records import RECORD_TRANSITIONS, RecordState
from responder.domain.runs import (
    FINAL,
    HOLDS_SLOT,
    OUTCOMES,
    TRANSITIONS,
    Context,
    Outcome,
    PlannedStep,
    Progress,
    Run,
    RunState,
    advance,
)
from responder.domain.verdicts import Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(state: RunState, progress: Progress | None = None) -> Run:
    return Run(
        id="r",
        kind="forward",
        playbook="p",
        revision="abc",
        target="http/shop",
        state=state,
        mode=Mode.AUTO,
        severity=Severity.HIGH,
        incident_id="i",
        context=Context(),
        created_at=NOW,
        due_at=NOW,
        deadline=NOW + timedelta(minutes=1),
        progress=progress or Progress(),
    )


# --- transitions ----------------------------------------------------------------------------------------------------


@given(state=st.sampled_from(RunState), outcome=st.sampled_from(OUTCOMES), reason=st.text(max_size=5))
def test_the_table_is_all_there_is(state: RunState, outcome: Outcome, reason: str) -> None:
    before = run(state)
    wanted = TRANSITIONS.get((state, outcome))
    if wanted is None:
        with pytest.raises(ValueError, match="cannot take the outcome"):
            advance(before, outcome)
        return
    after = advance(before, outcome, Verdict.STOPPED, reason)
    assert (after.state, after.verdict, after.reason) == (wanted, Verdict.STOPPED, reason)
    kept = replace(after, state=before.state, verdict=None, reason="", progress=before.progress)
    assert kept == before  # nothing else changes, and what was given is not touched
    assert before == run(state)


def test_nothing_follows_a_final_state() -> None:
    assert not {state for state, _ in TRANSITIONS} & FINAL
    assert all(state.final == (state in FINAL) for state in RunState)
    assert not HOLDS_SLOT & FINAL


def test_every_state_is_reached_from_the_start_and_reaches_an_end() -> None:
    follows = {(before, after) for (before, _), after in TRANSITIONS.items()}
    reached = {RunState.RESOLVING}
    ending = set(FINAL)
    for _ in RunState:
        reached |= {after for before, after in follows if before in reached}
        ending |= {before for before, after in follows if after in ending}
    assert reached == set(RunState)
    assert ending == set(RunState)


def test_every_outcome_is_used() -> None:
    assert {outcome for _, outcome in TRANSITIONS} | {"resumed"} == set(OUTCOMES)


@pytest.mark.parametrize("state", [state for (state, outcome) in TRANSITIONS if outcome == "halted"])
def test_a_parked_run_goes_on_where_it_was_parked(state: RunState) -> None:
    parked = advance(run(state), "halted", Verdict.HALTED, "a person said so")
    assert (parked.state, parked.progress.parked_from) == (RunState.PARKED, state)
    resumed = advance(parked, "resumed")
    assert (resumed.state, resumed.progress.parked_from) == (state, None)


def test_only_a_run_that_knows_where_it_was_parked_is_resumed() -> None:
    for state in RunState:
        with pytest.raises(ValueError, match="resumed"):
            advance(run(state), "resumed")


def test_every_state_of_a_record_is_reached_and_only_two_are_the_end() -> None:
    reached = {RecordState.INTENDED}
    for _ in RecordState:
        reached |= {after for before in reached for after in RECORD_TRANSITIONS[before]}
    assert reached == set(RecordState)
    assert {state for state in RecordState if not RECORD_TRANSITIONS[state]} == {
        RecordState.NOT_APPLIED,
        RecordState.UNDONE,
    }


# --- what is approved -----------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
images = st.dictionaries(st.text(min_size=1, max_size=4), json_values, max_size=3)
planned_steps = st.builds(
    PlannedStep,
    id=st.text(min_size=1, max_size=4),
    action=st.just("http.request"),
    arguments=images,
    before=images,
    after=images,
    note=st.sampled_from(["", "undo: none"]),
)


@given(steps=st.lists(planned_steps, max_size=3))
def test_the_hash_survives_the_store_and_the_order_of_keys(steps: list[PlannedStep]) -> None:
    stored = [PlannedStep.model_validate_json(step.model_dump_json()) for step in steps]
    turned = [
        step.model_copy(update={"before": dict(reversed(step.before.items()))})
        for step in stored
        if isinstance(step.before, dict)
    ]
    assert plan_hash(run(RunState.CHECKING), steps) == plan_hash(run(RunState.READY), stored)
    assert plan_hash(run(RunState.CHECKING), steps) == plan_hash(run(RunState.CHECKING), turned)


STEP = PlannedStep(id="a", action="http.request", arguments={"x": 1}, before={"n": 1}, after={"n": 2})


@pytest.mark.parametrize(
    "change",
    [
        {"id": "b"},
        {"action": "other"},
        {"arguments": {"x": 2}},
        {"before": {"n": 0}},
        {"before": {"n": "1"}},
        {"after": {"n": 3}},
        {"note": "undo: none"},
    ],
)
def test_the_hash_changes_with_whatever_is_approved(change: dict[str, object]) -> None:
    one = run(RunState.CHECKING)
    assert plan_hash(one, [STEP]) != plan_hash(one, [STEP.model_copy(update=change)])


def test_the_hash_changes_with_the_playbook_the_target_and_the_order_of_steps() -> None:
    one = run(RunState.CHECKING)
    other = STEP.model_copy(update={"id": "b"})
    assert plan_hash(one, [STEP]) != plan_hash(replace(one, revision="abd"), [STEP])
    assert plan_hash(one, [STEP]) != plan_hash(replace(one, target="http/chop"), [STEP])
    assert plan_hash(one, [STEP, other]) != plan_hash(one, [other, STEP])
    assert plan_hash(one, [STEP]) != plan_hash(one, [STEP, STEP])


def test_the_hash_does_not_depend_on_the_run_or_its_time() -> None:
    one = run(RunState.CHECKING)
    later = replace(one, id="other", due_at=NOW + timedelta(hours=1), attempts=3, epoch=9)
    assert plan_hash(one, [STEP]) == plan_hash(later, [STEP])
