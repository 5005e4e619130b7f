"""Limits that the runs of several playbooks share: counted in the record's transaction, whoever asks."""
# ruff: noqa: ANN401 - a builder takes whatever fields the test is about

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from responder.domain.episodes import Decision, EpisodeState
from responder.domain.limits import Cap, Limits, Rate, over_limit
from responder.domain.records import RecordState
from responder.domain.runs import RunState
from responder.ports.store import Authority
from responder.stores.core.database import Order
from responder.stores.core.store import SqlStore
from responder.stores.postgres import PostgresDatabase
from tests.conformance.building import (
    HOUR,
    acting,
    advance,
    applied,
    episode,
    finished,
    incident,
    record,
    started,
    verdict,
    write,
)

ROUNDS = 8
MINUTE, WINDOW, DAY = timedelta(minutes=1), timedelta(minutes=10), timedelta(days=1)
MOMENT = timedelta(seconds=20)
"""Shorter than a lease, so that who holds a target still may write when it is over."""
PROD = 'policy:env="prod"'


def cap(key: str = PROD, **bounds: Rate | int | timedelta) -> Cap:
    return Cap(key, f"the policy for {key.partition(':')[2]}", **bounds)  # type: ignore[arg-type] # each has its own type


def under(*caps: Cap, effects: int = 1) -> Authority:
    return Authority(Limits(caps=caps), effects)


async def test_replicas_and_playbooks_that_race_never_exceed_a_shared_rate(store: SqlStore, replica: SqlStore) -> None:
    authority = under(cap(rate=Rate(7, HOUR)))
    runs = [await acting(store, playbook=f"book-{number}", target=f"http/{number}") for number in range(20)]

    answers = await asyncio.gather(
        *((store, replica)[n % 2].intend(one, record(store, one), authority) for n, one in enumerate(runs))
    )

    assert sorted(verdict(answer) for answer in answers) == [""] * 7 + ["policy_rate"] * 13
    assert all('env="prod"' in answer.reason for answer in answers if answer is not None)


@pytest.mark.parametrize("bounds", [{"rate": Rate(1, HOUR)}, {"concurrent": 1}])
async def test_of_two_replicas_that_ask_at_once_one_gets_what_is_left(
    store: SqlStore, replica: SqlStore, bounds: Mapping[str, Rate | int]
) -> None:
    for number in range(ROUNDS):
        # Different playbooks and targets: nothing but the policy can make one wait for the other.
        authority = under(cap(f"policy:{number}", **bounds))
        one = await started(store, playbook="one", target=f"http/a{number}")
        other = await started(replica, playbook="other", target=f"http/b{number}")
        answers = await asyncio.gather(
            store.intend(one, record(store, one), authority),
            replica.intend(other, record(replica, other), authority),
        )
        assert sorted(verdict(answer)[:6] for answer in answers) == ["", "policy"]


async def test_replicas_and_playbooks_that_race_never_run_more_than_a_policy_allows(
    store: SqlStore, replica: SqlStore
) -> None:
    authority = under(cap(concurrent=3))
    runs = [await started(store, playbook=f"book-{number}", target=f"http/{number}") for number in range(10)]

    answers = await asyncio.gather(
        *((store, replica)[n % 2].intend(one, record(store, one), authority) for n, one in enumerate(runs))
    )

    assert sorted(verdict(answer) for answer in answers) == [""] * 3 + ["policy_concurrent"] * 7
    going = [one for one, answer in zip(runs, answers, strict=True) if answer is None]
    held = [one for one, answer in zip(runs, answers, strict=True) if answer is not None]
    await finished(store, going[0])
    assert await replica.intend(held[0], record(store, held[0]), authority) is None, "what has ended makes room"
    assert verdict(await store.intend(held[1], record(store, held[1]), authority)) == "policy_concurrent"


async def test_a_policy_limits_what_all_playbooks_do_to_one_target(store: SqlStore, replica: SqlStore) -> None:
    window = timedelta(minutes=20)
    authority = under(cap(per_target=Rate(1, window)))
    one = await acting(store, playbook="one")
    await applied(store, one, authority)
    await finished(store, one)
    other = await acting(replica, playbook="other", target=one.target)
    refusal = await replica.intend(other, record(store, other), authority)
    assert verdict(refusal) == "policy_target"
    assert refusal is not None
    assert refusal.retry_at is not None
    elsewhere = await acting(store, playbook="other", target="http/elsewhere")
    assert await store.intend(elsewhere, record(store, elsewhere), authority) is None
    advance(store, window)
    assert await store.intend(other, record(store, other), authority) is None


async def test_of_several_policies_the_strictest_wins_and_each_counts(store: SqlStore) -> None:
    wide, narrow = cap("policy:wide", rate=Rate(2, HOUR)), cap("policy:narrow", rate=Rate(1, HOUR))
    one = await acting(store, target="http/one")
    await applied(store, one, under(wide, narrow))
    both = await acting(store, target="http/both")
    refusal = await store.intend(both, record(store, both), under(wide, narrow))
    assert refusal is not None
    assert "narrow" in refusal.reason
    only = await acting(store, target="http/only")
    await applied(store, only, under(wide))
    third = await acting(store, target="http/third")
    assert verdict(await store.intend(third, record(store, third), under(wide))) == "policy_rate"
    free = await acting(store, target="http/free")
    assert await store.intend(free, record(store, free), under()) is None


def within(targets: int, **more: Any) -> Authority:
    return under(cap("radius:playbook/restart", targets=targets, lasts=MOMENT), **more)


async def test_of_two_replicas_that_ask_at_once_one_gets_the_last_target_of_a_blast_radius(
    store: SqlStore, replica: SqlStore
) -> None:
    for number in range(ROUNDS):
        authority = under(cap(f"radius:team/{number}", targets=1, lasts=HOUR))
        one = await started(store, playbook="one", target=f"http/a{number}")
        other = await started(replica, playbook="other", target=f"http/b{number}")
        answers = await asyncio.gather(
            store.intend(one, record(store, one), authority),
            replica.intend(other, record(replica, other), authority),
        )
        assert sorted(verdict(answer) for answer in answers) == ["", "blast_radius"]


async def test_a_blast_radius_counts_targets_not_effects(store: SqlStore) -> None:
    two = within(2, effects=3)
    first = await acting(store, target="http/a")
    for _ in range(3):
        await applied(store, first, two)
    await finished(store, first)
    again = await acting(store, target="http/a")
    await applied(store, again, two)
    await finished(store, again)
    await applied(store, await acting(store, target="http/b"), two)
    third = await acting(store, target="http/c")
    refusal = await store.intend(third, record(store, third), two)
    assert verdict(refusal) == "blast_radius"
    assert refusal is not None
    assert "2 of at most 2" in refusal.reason


async def test_a_target_counts_for_the_blast_radius_as_long_as_it_is_held_and_then_for_the_window(
    store: SqlStore,
) -> None:
    one = await acting(store, target="http/a")
    await applied(store, one, within(1))
    advance(store, MOMENT)
    other = await acting(store, target="http/b")
    assert verdict(await store.intend(other, record(store, other), within(1))) == "blast_radius", "it is still held"
    await finished(store, one)
    assert await store.intend(other, record(store, other), within(1)) is None
    await finished(store, other)
    third = await acting(store, target="http/c")
    assert verdict(await store.intend(third, record(store, third), within(1))) == "blast_radius", "a moment ago"


async def test_who_changed_nothing_leaves_the_blast_radius_to_others(store: SqlStore) -> None:
    one = await acting(store, target="http/a")
    made = record(store, one)
    assert await store.intend(one, made, within(1)) is None
    await store.settle(one, replace(made, state=RecordState.NOT_APPLIED))
    await finished(store, one, RunState.FAILED)
    other = await acting(store, target="http/b")
    assert await store.intend(other, record(store, other), within(1)) is None


async def test_targets_are_known_from_what_alerts_were_about(store: SqlStore) -> None:
    now = store.now()
    about = incident(store, team="shop")
    other = incident(store, team="bank")
    firing = [episode(store, incident_id=about.id), episode(store, incident_id=other.id)]

    def heard(at: int, playbook: str, target: str, **changes: Any) -> Decision:
        return Decision(firing[at].id, playbook, "run", "", changes.pop("when", now), target)

    decided = [
        heard(0, "one", "http/shop/a"),
        heard(0, "two", "http/shop/b"),
        heard(1, "one", "http/bank"),
        heard(1, "two", "http/shop/a"),
        heard(1, "three", ""),
        heard(1, "four", "http/shop/gone", when=now - timedelta(days=31)),
    ]
    await write(store, incidents=[about, other], episodes=firing, decisions=decided)
    counts = {
        ("playbook", "one"): 2,
        ("owner", "http/shop"): 2,
        ("owner", "http"): 3,
        ("cluster", "http"): 3,
        ("team", "shop"): 2,
        ("team", "bank"): 2,
        ("playbook", "four"): 0,
    }
    assert {(of, name): await store.known_targets(of, name) for of, name in counts} == counts  # type: ignore[arg-type] # its words


async def test_targets_are_known_whatever_the_order_of_a_database(store: SqlStore) -> None:
    if isinstance(store.db, PostgresDatabase):  # an order that overlooks separators, as that of many languages does
        async with store.db.writing(Order.CONTROL) as tx:
            await tx.execute(text("CREATE COLLATION words (provider = icu, locale = 'und-u-ka-shifted')"))
            await tx.execute(text("ALTER TABLE decisions ALTER COLUMN target TYPE text COLLATE words"))
    firing = episode(store)
    targets = ["http/shop/a", "http/shop/z", "http/shopping", "http/shop", "http/Shop/a", "https/shop/a"]
    decided = [
        Decision(firing.id, f"book-{place}", "run", "", store.now(), target) for place, target in enumerate(targets)
    ]
    await write(store, episodes=[firing], decisions=decided)
    assert await store.known_targets("owner", "http/shop") == 2
    assert await store.known_targets("cluster", "http") == 5


async def test_targets_are_sick_while_an_alert_is_open_that_nobody_has_silenced_whoever_asks(
    store: SqlStore, replica: SqlStore
) -> None:
    firing = [episode(store) for _ in range(4)]
    silenced = episode(store, suppressed="silenced")
    over = episode(store, state=EpisodeState.CLOSED, closed_at=store.now())
    decided = [
        Decision(one.id, "restart", word, "", store.now(), f"http/{place // 2}")
        for place, one in enumerate([*firing, silenced, over])
        for word in ("mass_failure", "run")
    ]
    assert await replica.sick_targets("restart") == 0
    await write(store, episodes=[*firing, silenced, over], decisions=decided)
    advance(replica, HOUR)  # a count that took long, on a busy machine, serves for so many times longer
    assert await store.sick_targets("restart") == await replica.sick_targets("restart") == 2
    assert await store.sick_targets("other") == 0
    await write(store, episodes=[replace(one, state=EpisodeState.CLOSED, closed_at=store.now()) for one in firing])
    advance(store, HOUR)
    assert await store.sick_targets("restart") == 0


async def test_a_shared_budget_is_reserved_for_the_whole_plan_and_the_rest_comes_back(store: SqlStore) -> None:
    plan, single = under(cap(rate=Rate(3, HOUR)), effects=3), under(cap(rate=Rate(3, HOUR)))
    one = await acting(store, playbook="one")
    await applied(store, one, plan)
    other = await acting(store, playbook="other", target="http/other")
    assert verdict(await store.intend(other, record(store, other), single)) == "policy_rate", "it is all reserved"
    await applied(store, one, plan)
    refused = record(store, one)
    assert await store.intend(one, refused, plan) is None
    await store.settle(one, replace(refused, state=RecordState.NOT_APPLIED))
    await finished(store, one)
    await applied(store, other, single)
    assert verdict(await store.intend(other, record(store, other), single)) == "policy_rate"


TWO_IN_A_WINDOW = pytest.mark.parametrize(
    "of",
    [Limits(per_playbook=Rate(2, WINDOW), max_age=DAY), Limits(caps=(cap(rate=Rate(2, WINDOW)),), max_age=DAY)],
    ids=["playbook", "policy"],
)


@pytest.mark.promise(8)
@TWO_IN_A_WINDOW
async def test_what_is_reserved_counts_until_it_is_used_however_long_ago_it_was_reserved(
    store: SqlStore, of: Limits
) -> None:
    plan, single = Authority(of, effects=2), Authority(of, effects=1)
    one, other = await acting(store, target="http/one"), await acting(store, target="http/other")
    await applied(store, one, plan)
    advance(store, WINDOW + MINUTE)  # between the steps of the plan is a long wait
    standing = await store.standing(other, of)
    assert over_limit(of, standing.usage, 2, standing.now) is not None, "whoever only asks hears the same"
    refusal = await store.intend(other, record(store, other), plan)
    assert verdict(refusal) in ("rate_playbook", "policy_rate")
    assert refusal is not None
    assert refusal.retry_at is None, "it may be given back at any moment"
    assert "1 of 2 in 0:10:00, with what runs under way have reserved" in refusal.reason
    await applied(store, other, single)
    advance(store, 4 * MINUTE)
    await applied(store, one, plan, index=1)
    third = await acting(store, target="http/third")
    refusal = await store.intend(third, record(store, third), single)
    assert refusal is not None
    assert refusal.retry_at is not None, "when the first of the two leaves the window"
    advance(store, refusal.retry_at - store.now())
    assert await store.intend(third, record(store, third), single) is None


@TWO_IN_A_WINDOW
async def test_an_old_reservation_that_was_not_used_makes_room_when_its_run_ends(store: SqlStore, of: Limits) -> None:
    plan = Authority(of, effects=2)
    one, other = await acting(store, target="http/one"), await acting(store, target="http/other")
    await applied(store, one, plan)
    advance(store, WINDOW + MINUTE)
    assert verdict(await store.intend(other, record(store, other), plan)) != ""
    await finished(store, one)
    assert await store.intend(other, record(store, other), plan) is None


@TWO_IN_A_WINDOW
async def test_what_is_reserved_is_not_forgotten_while_its_run_goes_on(store: SqlStore, of: Limits) -> None:
    plan = Authority(replace(of, max_age=9 * DAY), effects=2)
    one, other = await acting(store, target="http/one"), await acting(store, target="http/other")
    await applied(store, one, plan)
    advance(store, 3 * DAY)
    await store.expire({"history": 2 * DAY}, 100)
    assert verdict(await store.intend(other, record(store, other), plan)) in ("rate_playbook", "policy_rate")
    await finished(store, one)
    await store.expire({"history": 2 * DAY}, 100)
    assert await store.intend(other, record(store, other), plan) is None


async def test_a_plan_that_a_policy_could_never_allow_is_not_begun(store: SqlStore) -> None:
    one = await acting(store)
    refusal = await store.intend(one, record(store, one), under(cap(rate=Rate(2, HOUR)), effects=3))
    assert refusal is not None
    assert (verdict(refusal), refusal.retry_at) == ("policy_rate", None)
    assert "3 effects" in refusal.reason


async def test_who_has_begun_goes_on_when_a_policy_comes_and_counts(store: SqlStore) -> None:
    one = await acting(store)
    await applied(store, one, under(effects=2))
    strict = under(cap(rate=Rate(1, HOUR)), effects=2)
    assert await store.intend(one, record(store, one, index=1), strict) is None
    other = await acting(store, target="http/other")
    assert verdict(await store.intend(other, record(store, other), under(cap(rate=Rate(1, HOUR))))) == "policy_rate"


async def test_undoing_is_never_limited(store: SqlStore) -> None:
    authority = under(cap(rate=Rate(1, HOUR)))
    one = await acting(store)
    made = await applied(store, one, authority)
    assert await store.intend_undo(one, made) is None
    await finished(store, one, RunState.ROLLED_BACK)


async def test_a_turn_and_decide_see_what_policies_have_left(store: SqlStore) -> None:
    bound = Limits(caps=(cap(rate=Rate(5, HOUR), concurrent=5),))
    one = await acting(store, playbook="one", target="http/one")
    await applied(store, one, Authority(bound, 1))
    two = await started(store, playbook="two", target="http/two")
    seen = (await store.standing(two, bound)).usage.shared[PROD]
    assert (len(seen.effects), len(seen.on_target), seen.running) == (1, 0, 1)
    own = (await store.standing(one, bound)).usage.shared[PROD]
    assert (own.effects, own.running) == ((), 0), "a run is not in its own way"
    async with store.slice() as tx:
        pair = ("two", "http/one")
        shared = (await tx.usage({pair: bound}))[pair].shared[PROD]
    assert (len(shared.effects), len(shared.on_target), shared.running) == (1, 1, 1)
