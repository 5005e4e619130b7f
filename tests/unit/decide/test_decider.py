"""The decider: slices, cursors, what goes wrong and what is reported."""

import contextlib
from datetime import timedelta

import pytest

from responder.decide.decider import CLAIM
from responder.decide.large import MOST
from responder.decide.slices import SLICE
from responder.decide.suspects import LONGEST
from responder.domain.alerts import Notice, Quarantined
from responder.domain.errors import Conflict, IntakeError, Unavailable
from responder.domain.limits import Limits
from tests.unit.decide.bed import MINUTE, SECOND, START, Scene, alert, playbook, scene


async def test_a_large_delivery_is_decided_in_slices_and_advances_its_cursor() -> None:
    s = scene(playbook())
    delivery = s.world.deliver(*(alert(service=f"s{index}") for index in range(2 * SLICE + 50)))
    assert await s.decider.turn() == 1
    assert len(s.world.runs) == 2 * SLICE + 50
    assert s.world.deliveries[delivery.id].cursor == 2 * SLICE + 50
    assert s.world.finished == {delivery.id: "done"}
    assert len(s.world.open_incidents()) == 1


async def test_a_delivery_goes_on_at_its_cursor() -> None:
    s = scene(playbook())
    delivery = s.world.deliver(alert(service="a"), alert(service="b"))
    s.world.deliveries[delivery.id] = type(delivery)(delivery.id, "am", START, delivery.body, cursor=1)
    await s.decider.turn()
    assert [run.target for run in s.world.runs.values()] == ["http/b"]


async def test_small_deliveries_share_a_slice_and_the_number_of_statements_does_not_grow() -> None:
    few, many = scene(playbook()), scene(playbook())
    few.world.deliver(alert())
    for index in range(40):
        many.world.deliver(*(alert(service=f"{index}-{one}") for one in range(5)), group_key=str(index))
    await few.decider.turn()
    await many.decider.turn()
    assert len(many.world.runs) == 200
    assert max(many.world.statements) == max(few.world.statements) <= 8


async def test_a_delivery_with_nothing_readable_in_it_is_done() -> None:
    s = scene()
    delivery = s.world.post(Notice("r", "g", {}, "", (), quarantined=(Quarantined(0, "no labels"),)))
    await s.decider.turn()
    assert s.world.finished == {delivery.id: "done"}
    reason = "1 of 1 alerts could not be read: alerts[0]: no labels"
    assert s.facts.named("alerts_quarantined") == [
        {"source": "am", "delivery": delivery.id, "count": 1, "reason": reason}
    ]


async def test_what_could_not_be_read_beside_good_alerts_is_kept_with_their_delivery() -> None:
    s = scene(playbook())
    bad = tuple(Quarantined(index, "startsAt is missing") for index in range(1, 6))
    good = (alert(), *(alert(service=f"s{index}") for index in range(SLICE)))
    delivery = s.world.post(Notice("r", "g", {}, "", good, quarantined=bad))
    await s.decider.turn()
    assert s.world.finished == {delivery.id: "done"}
    note = s.world.notes[delivery.id]
    assert note.startswith("5 of 206 alerts could not be read: alerts[1]: startsAt is missing; alerts[2]: ")
    assert note.endswith("; and 2 more")
    assert len(s.facts.named("alerts_quarantined")) == 1


async def test_a_body_that_cannot_be_read_is_tried_five_times_and_then_shown_to_people() -> None:
    s = scene(page="pagerduty:payments")
    bad = s.world.post(IntakeError("not ours"))
    await s.turn(alert())
    assert len(s.world.open_episodes()) == 1
    for _ in range(4):
        assert not s.world.finished.get(bad.id)
        await s.wait(MINUTE)
    assert "not ours" in s.world.finished[bad.id]
    (incident,) = [one for one in s.world.open_incidents() if one.needs_person]
    assert bad.id in incident.needs_person
    assert s.world.outbox[incident.id] == {"pagerduty:payments"}
    assert len(s.facts.named("delivery_dead")) == 1


async def test_a_slice_that_met_another_one_is_tried_again() -> None:
    s = scene(playbook())
    s.world.fail_next = [Conflict("first"), Conflict("second")]
    await s.turn(alert())
    assert len(s.world.runs) == 1
    assert not s.facts.named("delivery_failed")


async def test_one_bad_delivery_does_not_keep_the_others_of_its_slice_back() -> None:
    s = scene(playbook())
    s.shelf.stumbles_over = "bad"
    s.world.deliver(alert(service="good"))
    bad = s.world.deliver(alert(service="bad"))
    s.world.deliver(alert(service="fine"))
    await s.decider.turn()
    assert sorted(run.target for run in s.world.runs.values()) == ["http/fine", "http/good"]
    assert bad.id not in s.world.finished
    assert s.world.due[bad.id] > s.world.now


async def test_behind_a_part_that_failed_the_rest_of_the_delivery_waits() -> None:
    s = scene(playbook())
    s.shelf.stumbles_over = "bad"
    delivery = s.world.deliver(alert(service="bad"), *(alert(service=f"s{index}") for index in range(SLICE)))
    await s.decider.turn()
    assert s.world.deliveries[delivery.id].cursor == 0
    assert not s.world.runs


async def test_one_bad_episode_does_not_keep_the_others_from_their_turn() -> None:
    s = scene(playbook())
    for name in ("a", "bad", "c"):
        s.world.doubts[f"http/{name}"] = "in doubt"
    await s.turn(*(alert(service=name) for name in ("a", "bad", "c")))
    s.world.doubts.clear()
    s.shelf.stumbles_over = "bad"
    await s.wait(61 * SECOND)
    assert sorted(run.target for run in s.world.runs.values()) == ["http/a", "http/c"]
    assert len(s.facts.named("episode_failed")) == 1
    await s.wait(SECOND)
    assert len(s.facts.named("episode_failed")) == 1


async def test_a_store_that_cannot_be_reached_is_the_workers_business() -> None:
    s = scene(playbook())
    s.world.fail_next = [Unavailable("down")]
    with pytest.raises(Unavailable):
        await s.turn(alert())
    assert not s.world.runs
    assert await s.decider.turn() == 1, "what was claimed is given back, and claimed again"
    assert len(s.world.runs) == 1


async def test_what_happened_is_reported_once_it_is_committed() -> None:
    s = scene(playbook())
    s.world.deliver(alert())
    s.world.now += 3 * SECOND
    await s.decider.turn()
    assert [name for name, _ in s.facts.seen] == ["episode", "decision", "run_created", "delivery_decided"]
    assert s.facts.named("episode")[0]["change"] == "opened"
    assert s.facts.named("decision")[0]["verdict"] == "run"
    assert s.facts.named("delivery_decided")[0]["seconds"] == 3


async def test_nothing_to_do_is_said() -> None:
    assert await scene().decider.turn() == 0


async def test_many_due_episodes_are_all_decided_in_one_turn() -> None:
    s = scene(playbook(limits=Limits(concurrent=1)))
    services = [f"s{index}" for index in range(SLICE + 20)]
    for service in services:
        s.world.doubts[f"http/{service}"] = "in doubt"
    await s.turn(*(alert(service=service) for service in services))
    s.shelf.playbooks = (playbook(),)
    s.world.doubts.clear()
    await s.wait(61 * SECOND)
    assert len(s.world.runs) == SLICE + 20


async def test_a_small_delivery_does_not_wait_for_a_large_one_before_it() -> None:
    s = scene(playbook())
    large = s.world.deliver(*(alert(alertname="Noise", pod=str(index)) for index in range(2_000)), group_key="large")
    late = s.world.deliver(alert("resolved", alertname="Noise", pod="0", ends_at=START), group_key="large")
    await s.decider.turn()
    assert s.world.deliveries[large.id].cursor == SLICE, "a slice at a time"
    urgent = s.world.deliver(alert(service="urgent"), group_key="other")

    assert await s.decider.turn() >= CLAIM, "there is more to do at once"

    assert s.world.finished == {urgent.id: "done"}
    assert [run.target for run in s.world.runs.values()] == ["http/urgent"]
    assert late.id not in s.world.finished, "its own group is decided in its order"
    while late.id not in s.world.finished:
        await s.decider.turn()
    assert list(s.world.finished) == [urgent.id, large.id, late.id]
    assert len(s.world.open_episodes()) == 2_000


async def test_large_deliveries_get_on_side_by_side() -> None:
    s = scene(playbook())
    several = [
        s.world.deliver(*(alert(alertname="Noise", pod=f"{one}-{pod}") for pod in range(1_000)), group_key=str(one))
        for one in range(2)
    ]
    await s.decider.turn()
    assert [s.world.deliveries[one.id].cursor for one in several] == [SLICE // 2] * 2


async def test_one_large_delivery_too_many_waits_without_being_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.decide.large.LARGE", 20)
    s = scene(playbook())
    several = [
        s.world.deliver(*(alert(alertname="Noise", pod=f"{one}-{pod}") for pod in range(30)), group_key=str(one))
        for one in range(MOST + 1)
    ]
    await s.decider.turn()
    assert s.world.deliveries[several[-1].id].cursor == 0
    for _ in range(5):
        await s.wait(SECOND)
    assert s.world.finished == dict.fromkeys([one.id for one in several], "done")


async def test_large_deliveries_with_too_many_alerts_together_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("responder.decide.large.LARGE", 20)
    monkeypatch.setattr("responder.decide.large.MOST_ALERTS", 300)
    s = scene(playbook())
    several = [
        s.world.deliver(*(alert(alertname="Noise", pod=f"{one}-{pod}") for pod in range(pods)), group_key=str(one))
        for one, pods in enumerate((400, 30, 290))
    ]
    await s.decider.turn()
    assert [s.world.deliveries[one.id].cursor for one in several] == [SLICE, 0, 0], "one may be larger than that"
    for _ in range(20):
        await s.wait(SECOND)
    assert s.world.finished == dict.fromkeys([one.id for one in several], "done")


async def test_a_large_delivery_goes_on_where_it_was_when_the_store_comes_back() -> None:
    s = scene(playbook())
    large = s.world.deliver(*(alert(alertname="Noise", pod=str(index)) for index in range(1_000)))
    await s.decider.turn()
    s.world.fail_next = [Unavailable("down")]
    with pytest.raises(Unavailable):
        await s.decider.turn()
    assert s.world.deliveries[large.id].cursor == SLICE
    while large.id not in s.world.finished:
        await s.decider.turn()
    assert len(s.world.open_episodes()) == 1_000


async def _turns(s: Scene, until: timedelta) -> None:
    """Take turns as the worker does, for so long."""
    end = s.world.now + until
    while s.world.now < end:
        with contextlib.suppress(Unavailable):
            await s.decider.turn()
        s.world.now += SECOND


@pytest.mark.parametrize("error", [Unavailable("the statement took too long"), Conflict("somebody else was first")])
async def test_bad_minutes_of_the_store_wear_no_delivery_out(error: Exception) -> None:
    s = scene(playbook())
    several = [s.world.deliver(alert(service=f"s{index}"), group_key=str(index)) for index in range(10)]
    s.world.fails_of = {f"s{index}": error for index in range(10)}
    await _turns(s, 10 * MINUTE)
    assert [s.world.deliveries[one.id].attempts for one in several] == [0] * 10
    s.world.fails_of.clear()
    await _turns(s, LONGEST)
    assert s.world.finished == dict.fromkeys([one.id for one in several], "done")
    assert len(s.world.runs) == 10


@pytest.mark.parametrize("error", [Unavailable("the statement took too long"), Conflict("somebody else was first")])
async def test_what_the_store_always_fails_of_holds_up_nobody_and_is_tried_ever_less(error: Exception) -> None:
    s = scene(playbook())
    s.world.fails_of = {"bad": error}
    bad = s.world.deliver(alert(service="bad"), group_key="bad")
    good = [s.world.deliver(alert(service=f"s{index}"), group_key=str(index)) for index in range(5)]
    await _turns(s, 5 * SECOND)
    assert s.world.finished == dict.fromkeys([one.id for one in good], "done")
    await _turns(s, 20 * MINUTE)
    tries = len(s.facts.named("delivery_failed"))
    late = s.world.deliver(alert(service="late"), group_key="late")
    await s.decider.turn()
    assert s.world.finished[late.id] == "done"
    assert bad.id not in s.world.finished
    assert tries <= 14
    s.world.fails_of.clear()
    await _turns(s, LONGEST)
    assert s.world.finished[bad.id] == "done"


async def test_a_large_delivery_of_which_the_store_always_fails_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("responder.decide.large.LARGE", 20)
    s = scene(playbook())
    s.world.fails_of = {"bad": Unavailable("the statement took too long")}
    bad = s.world.deliver(*(alert(service="bad", pod=str(pod)) for pod in range(30)), group_key="bad")
    good = s.world.deliver(*(alert(service="good", pod=str(pod)) for pod in range(30)), group_key="good")
    await _turns(s, 10 * SECOND)
    assert s.world.finished == {good.id: "done"}
    assert s.world.deliveries[bad.id].attempts == 0


async def test_an_episode_of_which_the_store_always_fails_holds_up_no_other() -> None:
    s = scene(playbook())
    names = ("a", "bad", "c")
    for name in names:
        s.world.doubts[f"http/{name}"] = "in doubt"
    await s.turn(*(alert(service=name) for name in names))
    s.world.doubts.clear()
    s.world.fails_of = {"bad": Unavailable("the statement took too long")}
    s.world.now += 61 * SECOND
    await _turns(s, 10 * SECOND)
    assert sorted(run.target for run in s.world.runs.values()) == ["http/a", "http/c"]


async def test_a_claim_that_is_too_much_at_once_becomes_smaller_and_grows_again() -> None:
    s = scene(playbook())
    for index in range(CLAIM):
        s.world.deliver(alert(service=f"s{index}"), group_key=str(index))
    s.world.claims_at_most = 20
    await _turns(s, 3 * SECOND)
    assert len(s.world.finished) == 12, "200, 50, 12"
    s.world.claims_at_most = CLAIM
    await _turns(s, 4 * SECOND)
    assert len(s.world.finished) == 12 + 24 + 48 + 96 + 20


async def test_a_claim_that_ended_with_a_large_body_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    s = scene(playbook())
    s.world.deliver(alert())
    assert await s.decider.turn() == 1
    monkeypatch.setattr("responder.decide.decider.CLAIMED_BYTES", 3)
    s.world.deliver(alert())
    assert await s.decider.turn() == CLAIM
