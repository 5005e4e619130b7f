"""A run and the target that was looked up for it: its own, or another run's that has it already."""

from dataclasses import replace

import pytest

from responder.domain.errors import Conflict
from responder.domain.modes import Mode
from responder.domain.runs import Run, RunState
from responder.ports.store import RunEnd
from responder.stores.core.store import SqlStore
from tests.conformance.building import acting, claimed, episode, incident, run, write

POD, DEPLOYMENT = "eu/pod/shop/web-{}", "eu/deployment/shop/web"


async def resolving(store: SqlStore, number: int, **changes: object) -> Run:
    """Return a claimed run whose target is a pod."""
    about = incident(store)
    one = episode(store, incident_id=about.id)
    made = run(store, state=RunState.RESOLVING, target=POD.format(number), incident_id=about.id, **changes)
    await write(store, episodes=[one], incidents=[about], runs=[(made, frozenset({one.id}))])
    return await claimed(store, made.id)


def at_deployment(run: Run) -> Run:
    return replace(run, target=DEPLOYMENT)


async def test_the_first_has_the_target_and_the_second_gives_its_alerts_away(
    store: SqlStore, replica: SqlStore
) -> None:
    first, second = await resolving(store, 1), await resolving(store, 2)
    assert (await store.bind(at_deployment(first))).joined == ""
    assert (await replica.bind(at_deployment(second))).joined == first.id
    assert len(await store.alerts_of(first)) == 2
    assert await store.alerts_of(second) == []
    kept = await store.run(second.id)
    assert kept is not None
    assert (kept.state, kept.progress.joined, kept.target) == (RunState.RESOLVING, first.id, DEPLOYMENT)


@pytest.mark.parametrize(
    ("other", "mine"), [({"playbook": "else"}, {}), ({"mode": Mode.OBSERVE}, {}), ({"mode": Mode.OBSERVE}, None)]
)
async def test_only_a_run_that_would_do_the_same_is_joined(
    store: SqlStore, other: dict[str, object], mine: dict[str, object] | None
) -> None:
    first = await resolving(store, 1, **other)
    second = await resolving(store, 2, **(other if mine is None else mine))
    await store.bind(at_deployment(first))
    assert (await store.bind(at_deployment(second))).joined == (first.id if mine is None else "")


async def test_a_run_that_has_ended_is_not_joined(store: SqlStore) -> None:
    first, second = await resolving(store, 1), await resolving(store, 2)
    await store.bind(at_deployment(first))
    await store.finish(replace(at_deployment(first), state=RunState.SKIPPED), RunEnd())
    assert (await store.bind(at_deployment(second))).joined == ""


async def test_a_lost_lease_binds_nothing(store: SqlStore) -> None:
    one = await resolving(store, 1)
    with pytest.raises(Conflict):
        await store.bind(replace(at_deployment(one), epoch=one.epoch - 1))
    kept = await store.run(one.id)
    assert kept is not None
    assert kept.target == POD.format(1)


async def test_what_was_changed_there_lately_is_told(store: SqlStore) -> None:
    changing = await acting(store, target=DEPLOYMENT, playbook="else")
    one = await resolving(store, 1)
    bound = await store.bind(at_deployment(one))
    assert [near.id for near in bound.near] == [changing.id]
    assert bound.began is not None
