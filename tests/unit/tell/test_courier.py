"""The courier against real peers: told once, edited after, nothing lost, nobody delayed by somebody else's channel."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

import pytest

from responder.clients.pagerduty import PagerDutyClient
from responder.clients.slack import SlackClient
from responder.domain.errors import DeliveryError, NotYet
from responder.domain.notification import Account, Beyond, Notification, Receipt
from responder.notifiers.pagerduty import PagerDutyNotifier
from responder.notifiers.slack import SlackNotifier
from responder.playbook.model import NotifyRule, Playbook
from responder.ports.store import LEASE, MAX_ATTEMPTS
from responder.tell.courier import Courier
from responder.tell.digest import Storm
from responder.tell.early import too_early
from tests.bed.paces import FREE
from tests.bed.pagerduty_peer import ROUTING_KEY, PagerDutyPeer
from tests.bed.slack_peer import SlackPeer
from tests.bed.web import Rate
from tests.unit.tell.office import Office, office
from tests.unit.tell.outbox import MemoryOutbox, Moved, Row
from tests.unit.tell.stories import DOCS, STORIES, URL, account, incident

SLACK, PAGER = "slack:C0ALERTS", "pagerduty:payments"
FIXING, FIXED, ROLLED_BACK = (STORIES[name].account for name in ("fixing", "fixed", "rolled-back"))


@pytest.fixture
async def peers(slack: SlackPeer, pagerduty: PagerDutyPeer) -> AsyncIterator[Callable[[], Office]]:
    """Give a way to open an office on both peers; opening another one is a restart."""
    slack.posts = Rate(None, 1.0)
    chat = SlackClient(slack.token, api_url=slack.api_url, timeout=timedelta(seconds=3), pace=FREE)
    pager = PagerDutyClient(api_url=pagerduty.url, timeout=timedelta(seconds=3), pace=FREE)
    yield lambda: office(
        {
            "slack": SlackNotifier(chat, post_every=0.0),
            "pagerduty": PagerDutyNotifier(pager, {"payments": ROUTING_KEY}),
        }
    )
    await chat.close()
    await pager.close()


@dataclass(slots=True)
class Scripted:
    """A channel that does what it is told: raises, or waits for a gate."""

    kind: str = "slack"
    errors: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None
    poison: str = ""
    refused: str = ""
    posted: list[Notification] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
            if notification.incident_id == self.poison:
                raise RuntimeError("a fault of ours")
            if notification.incident_id == self.refused:
                raise DeliveryError("Slack answered 500", uncertain=True)
            self.posted.append(notification)
            return {"id": len(self.posted)}
        finally:
            self.in_flight -= 1

    async def find(self, address: str, attempt: str) -> Receipt | None:
        return None


def other(account: Account, number: int) -> Account:
    return replace(account, incident=replace(account.incident, id=f"i{number}"))


def mine(slack: SlackPeer) -> list[str]:
    """Return what the incident's messages say now, outside of threads."""
    return [message.text for message in slack.messages if message.thread_ts in {None, message.ts}]


# --- once, and edited ---------------------------------------------------------------------------------------------


async def test_an_incident_is_one_message_that_tells_how_it_stands_now(
    peers: Callable[[], Office], slack: SlackPeer
) -> None:
    one = peers()
    for state in (FIXING, FIXED):
        row = one.outbox.tell(state, SLACK)
        await one.later(2)
        assert not row.behind()
    assert len(mine(slack)) == 1
    assert "Fixed in 3m12s" in mine(slack)[0]


def _playbook(**states: str) -> Playbook:
    told = {f"slack:{channel}": frozenset({state}) for channel, state in states.items()}
    return Playbook(
        "checkout-workers", "", "a.yaml", "", "r", (), notify=NotifyRule((*told, "slack:C0ALL"), states=told)
    )


def test_a_destination_with_states_hears_of_runs_that_end_so_and_of_none_before() -> None:
    known = _playbook(C0BAD="rolled_back", C0GOOD="verified")

    def early(destination: str, account: Account) -> bool:
        return too_early(destination, account, lambda name, _: known if name == known.name else None)

    places = ("C0BAD", "C0GOOD", "C0ALL", "C0ROUTED")
    told = {
        name: [one for one in places if not early(f"slack:{one}", STORIES[name].account)]
        for name in ("fixing", "fixed", "rolled-back")
    }
    both = ["C0ALL", "C0ROUTED"]
    assert told == {"fixing": both, "fixed": ["C0GOOD", *both], "rolled-back": ["C0BAD", *both]}


async def test_who_is_not_to_hear_of_it_yet_is_told_nothing_and_later_all_of_it(slack: SlackPeer) -> None:
    slack.posts = Rate(None, 1.0)
    chat = SlackClient(slack.token, api_url=slack.api_url, timeout=timedelta(seconds=3), pace=FREE)
    one = office({"slack": SlackNotifier(chat, post_every=0.0)}, storm=Storm(0, timedelta(days=3650)))
    one.courier._early = lambda _, account: account is FIXING
    row = one.outbox.tell(FIXING, SLACK)
    await one.later(2)
    await one.later(60)  # no digest tells of it either
    assert (mine(slack), row.behind()) == ([], False)
    one.outbox.tell(ROLLED_BACK, SLACK)
    await one.later(2)
    assert len(mine(slack)) == 1
    one.outbox.tell(FIXING, SLACK)  # what has begun goes on to the end
    await one.later(2)
    assert "Fixing" in mine(slack)[0]
    await chat.close()


async def test_what_happened_while_waiting_is_told_in_one_go(peers: Callable[[], Office], slack: SlackPeer) -> None:
    one = peers()
    one.outbox.tell(FIXING, SLACK)
    row = one.outbox.tell(FIXED, SLACK)
    await one.work()
    assert row.item.told_rev == row.item.want_rev == 2
    assert [call.method for call in slack.calls if "thread_ts" not in call.arguments] == ["chat.postMessage"]


async def test_what_changes_nothing_that_can_be_seen_is_not_sent_again(
    peers: Callable[[], Office], slack: SlackPeer
) -> None:
    one = peers()
    row = one.outbox.tell(FIXING, SLACK)
    await one.work()
    sent = len(slack.calls)
    one.outbox.tell(FIXING, SLACK)
    await one.later(60)
    assert not row.behind()
    assert len(slack.calls) == sent, "only time has passed"
    one.outbox.tell(FIXED, SLACK)
    await one.later(60)
    assert len(slack.calls) > sent


async def test_the_message_of_a_large_incident_stays_longer_as_it_is(peers: Callable[[], Office]) -> None:
    one = peers()
    one.outbox.tell(FIXING, SLACK)
    await one.work()
    one.outbox.tell(replace(FIXING, beyond=Beyond(episodes=3_000)), SLACK)
    await one.later(5)
    one.outbox.tell(replace(FIXING, beyond=Beyond(episodes=30_000)), SLACK)
    await one.later(5)
    assert [rest.total_seconds() for rest in one.outbox.rests] == [1, 4, 10]


async def test_a_first_post_is_announced_before_it_is_sent(peers: Callable[[], Office], slack: SlackPeer) -> None:
    one = peers()
    one.outbox.tell(FIXED, SLACK)
    await one.work()
    ((_, attempt),) = one.outbox.announced
    assert slack.messages[0].metadata is not None
    assert slack.messages[0].metadata["event_payload"]["attempt"] == attempt


async def test_a_post_whose_answer_was_lost_is_adopted_not_repeated(
    peers: Callable[[], Office], slack: SlackPeer
) -> None:
    one = peers()
    slack.faults.next("lost_reply", on="chat.postMessage")
    row = one.outbox.tell(FIXING, SLACK)
    await one.work()
    assert row.behind()
    assert row.item.attempt
    row = one.outbox.tell(FIXED, SLACK)
    await one.later(60)
    assert not row.behind()
    assert len(mine(slack)) == 1
    assert "Fixed" in mine(slack)[0]
    assert "(repeated)" not in mine(slack)[0]


async def test_an_heir_edits_the_message_and_answers_the_page_that_were_handed_to_it(
    peers: Callable[[], Office], slack: SlackPeer, pagerduty: PagerDutyPeer
) -> None:
    one = peers()
    given = [one.outbox.tell(ROLLED_BACK, where) for where in (SLACK, PAGER)]
    await one.work()
    (called,) = pagerduty.incidents
    heir = other(ROLLED_BACK, 2)
    for old in given:
        row = one.outbox.tell(heir, old.item.destination)
        row.item = replace(row.item, receipt=old.item.receipt)
    await one.later(2)
    assert len(mine(slack)) == 1
    assert pagerduty.incidents == [called]

    for old in given:
        one.outbox.tell(other(FIXED, 2), old.item.destination)
    await one.later(2)

    assert "Fixed" in mine(slack)[0]
    assert pagerduty.open() == []
    assert len(pagerduty.incidents) == 1


async def test_a_crash_between_sending_and_noting_it_does_not_repeat_the_post(
    peers: Callable[[], Office], slack: SlackPeer
) -> None:
    before = peers()
    row = before.outbox.tell(FIXED, SLACK)
    await before.work()
    # As a process leaves it that dies right after the post: announced, not told.
    (_, attempt), *_ = before.outbox.announced
    row.item = replace(row.item, told_rev=0, attempt=attempt, receipt=None)
    after = peers()
    after.outbox.rows, after.outbox.known = before.outbox.rows, before.outbox.known
    await after.later(60)
    assert not row.behind()
    assert len(mine(slack)) == 1
    assert sum("workers: 4 → 6" in message.text for message in slack.messages) == 1


async def test_a_post_that_cannot_be_found_is_repeated_and_says_so(
    peers: Callable[[], Office], slack: SlackPeer
) -> None:
    slack.scopes.discard("channels:history")
    one = peers()
    slack.faults.next("lost_reply", on="chat.postMessage")
    row = one.outbox.tell(FIXED, SLACK)
    await one.work()
    await one.later(60)
    assert not row.behind()
    assert ["(repeated)" in text for text in mine(slack)] == [False, True]


async def test_a_post_that_certainly_did_not_arrive_is_not_called_a_repetition(
    peers: Callable[[], Office], slack: SlackPeer
) -> None:
    one = peers()
    slack.faults.next("status", status=429, retry_after=9, on="chat.postMessage")
    row = one.outbox.tell(FIXED, SLACK)
    await one.work()
    assert row.item.attempt == ""
    await one.later(10)
    assert ["(repeated)" in text for text in mine(slack)] == [False]


async def test_a_deleted_message_is_posted_anew(peers: Callable[[], Office], slack: SlackPeer) -> None:
    one = peers()
    one.outbox.tell(FIXING, SLACK)
    await one.work()
    slack.delete(slack.messages[0])
    row = one.outbox.tell(FIXED, SLACK)
    await one.later(2)
    assert not row.behind()
    assert [text for text in mine(slack) if "Fixed" in text]


async def test_an_edit_whose_answer_was_lost_is_made_again(peers: Callable[[], Office], slack: SlackPeer) -> None:
    one = peers()
    one.outbox.tell(FIXING, SLACK)
    await one.work()
    slack.faults.next("lost_reply", on="chat.update")
    row = one.outbox.tell(FIXED, SLACK)
    await one.later(2)
    assert row.behind()
    await one.later(60)
    assert not row.behind()
    assert len(mine(slack)) == 1


async def test_a_thread_that_must_wait_keeps_the_message_and_is_finished_later(
    peers: Callable[[], Office], slack: SlackPeer
) -> None:
    one = peers()
    slack.posts = Rate(1, 5, one.clock.monotonic)
    row = one.outbox.tell(FIXED, SLACK)
    await one.work()
    assert row.behind()
    assert row.item.receipt
    assert row.item.attempt == ""
    assert len(mine(slack)) == 1
    await one.later(60)
    assert not row.behind()
    assert len(mine(slack)) == 1
    assert any("workers: 4 → 6" in message.text for message in slack.messages)


async def test_a_person_is_called_and_let_go(peers: Callable[[], Office], pagerduty: PagerDutyPeer) -> None:
    one = peers()
    for state in (FIXING, ROLLED_BACK, ROLLED_BACK, FIXED):
        one.outbox.tell(state, PAGER)
        await one.later(2)
    assert [event["event_action"] for event in pagerduty.events] == ["trigger", "resolve"]


# --- waiting, failing, giving up ----------------------------------------------------------------------------------


async def test_the_wait_that_a_channel_asks_for_holds_for_all_its_messages_and_wears_none_out(
    peers: Callable[[], Office], slack: SlackPeer
) -> None:
    one = peers()
    slack.faults.next("status", status=429, retry_after=30, on="chat.postMessage")
    rows = [one.outbox.tell(other(FIXED, number), SLACK) for number in range(3)]
    await one.work()
    await one.later(25)
    assert slack.messages == []
    assert [(row.item.attempts, row.error, row.dead) for row in rows] == [(0, "", "")] * 3
    for _ in range(5):
        await one.later(6)
    assert not any(row.behind() for row in rows)
    assert len(mine(slack)) == 3


@pytest.mark.promise(14)
async def test_what_can_never_be_told_becomes_a_dead_letter_with_its_reason(peers: Callable[[], Office]) -> None:
    one = peers()
    nowhere = one.outbox.tell(FIXED, "slack:#nowhere")
    unknown = one.outbox.tell(FIXED, "teams:general")
    await one.work()
    assert "channel_not_found" in nowhere.dead
    assert "'teams'" in unknown.dead
    assert len(one.said("tell_gave_up")) == 2


async def test_a_message_that_keeps_failing_is_set_aside_while_others_get_through() -> None:
    one = office({"slack": Scripted(poison="i1")})
    bad = one.outbox.tell(other(FIXED, 1), SLACK)
    good = one.outbox.tell(other(FIXED, 2), SLACK)
    for _ in range(10):
        await one.later(300)
    assert "a fault of ours" in bad.dead
    assert not good.behind()


async def test_no_message_is_worn_out_by_a_channel_that_is_down_for_hours() -> None:
    channel = Scripted(errors=[DeliveryError("down") for _ in range(100)])
    one = office({"slack": channel})
    rows = [one.outbox.tell(other(FIXED, number), SLACK) for number in range(3)]
    for _ in range(40):
        await one.later(300)
    assert not any(row.dead for row in rows)
    channel.errors.clear()
    for _ in range(4):
        await one.later(300)
    assert not any(row.behind() for row in rows)


async def test_no_message_is_worn_out_by_a_store_that_can_only_be_claimed_from() -> None:
    one = office({"slack": Scripted()})
    row = one.outbox.tell(FIXED, SLACK)
    one.outbox.ill = True
    for _ in range(3 * MAX_ATTEMPTS):
        await one.later(LEASE.total_seconds())
        assert row.item.attempts < MAX_ATTEMPTS, "it would be set aside"
    one.outbox.ill = False
    await one.later(LEASE.total_seconds())
    assert not row.behind()


async def test_nor_are_those_that_a_digest_was_to_tell_of() -> None:
    one = office({"slack": Scripted()}, storm=Storm(after=1))
    rows = [one.outbox.tell(other(FIXED, number), SLACK) for number in range(40)]
    one.outbox.ill = True
    for _ in range(3 * MAX_ATTEMPTS):
        await one.later(LEASE.total_seconds())
    assert max(row.item.attempts for row in rows) < MAX_ATTEMPTS


@pytest.mark.promise(14)
@pytest.mark.parametrize("replicas", [1, 2, 3])
async def test_a_channel_that_is_down_wears_no_message_out_however_many_replicas_tell_or_restart(replicas: int) -> None:
    channel = Scripted(errors=[DeliveryError("PagerDuty answered 503", uncertain=True) for _ in range(10_000)])
    first = office({"slack": channel})
    offices = [first, *(office({"slack": channel}, at=first) for _ in range(replicas - 1))]
    row = first.outbox.tell(FIXED, SLACK)
    for second in range(600):
        if second % 100 == 99:  # one of them is restarted
            offices[second // 100 % replicas] = office({"slack": channel}, at=first)
        first.clock.advance(1)
        for one in random.sample(offices, replicas):
            await one.work()
    assert (row.dead, row.behind()) == ("", True)
    channel.errors.clear()
    for _ in range(300):
        for one in offices:
            await one.later(1)
    assert (row.dead, row.behind()) == ("", False)


async def test_a_message_that_a_channel_fails_alone_is_tried_less_and_less_often_and_keeps_no_letter() -> None:
    channel = Scripted(refused="i1")
    one = office({"slack": channel})
    bad = one.outbox.tell(other(FIXED, 1), SLACK)
    good = one.outbox.tell(other(FIXED, 2), SLACK)
    tries: list[int] = []
    for second in range(1000):
        one.outbox.tell(other(FIXED if second % 2 else FIXING, 2), SLACK)
        await one.later(1)
        tries += [second] if len(one.said("tell_later")) > len(tries) else []
    waits = [after - before for before, after in pairwise(tries)]
    assert waits == sorted(waits)
    assert [waits[0], waits[-1]] == [pytest.approx(4, abs=1), pytest.approx(240, abs=2)]
    assert (bad.dead, good.dead) == ("", "")
    channel.refused = ""
    await one.later(300)
    assert not bad.behind()
    one.outbox.tell(other(FIXING, 1), SLACK)
    channel.refused = "i1"
    await one.later(1)
    assert one.said("tell_later")[-1]["seconds"] == 4, "what was told since begins anew"


async def test_a_channel_that_is_back_hears_at_once_what_has_waited_for_it() -> None:
    channel = Scripted(errors=[DeliveryError("down") for _ in range(1000)])
    one = office({"slack": channel})
    rows = [one.outbox.tell(other(FIXED, number), SLACK) for number in range(4)]
    for _ in range(20):
        await one.later(300)
    channel.errors.clear()
    waited = 0
    while any(row.behind() for row in rows):
        await one.later(1)
        waited += 1
        assert waited < 130, "the pause of the channel, not the four minutes that each message would wait by itself"
        if channel.posted:
            break
    for _ in range(len(rows)):
        await one.later(1)
    assert not any(row.behind() for row in rows)
    assert [fields["reachable"] for fields in one.said("destination")] == [False, True]


async def test_who_is_paced_lets_the_others_of_its_destination_go_first_and_is_not_worn_out() -> None:
    channel = Scripted(errors=[NotYet("edits are paced", retry_after=timedelta(seconds=30))])
    one = office({"slack": channel})
    rows = [one.outbox.tell(other(FIXED, number), SLACK) for number in range(3)]
    await one.later(1)
    assert [row.behind() for row in rows] == [True, False, False]
    assert (rows[0].item.attempts, rows[0].item.attempt, rows[0].error) == (0, "", "")
    await one.later(28)
    assert rows[0].behind()
    await one.later(2)
    assert not rows[0].behind()


async def test_an_unreachable_channel_is_tried_less_and_less_often() -> None:
    channel = Scripted(errors=[DeliveryError("down") for _ in range(1000)])
    one = office({"slack": channel})
    for number in range(20):
        one.outbox.tell(other(FIXED, number), SLACK)
    for _ in range(120):
        await one.later(1)
    assert 3 <= 1000 - len(channel.errors) <= 25


async def test_a_message_of_an_incident_that_is_gone_is_set_aside(peers: Callable[[], Office]) -> None:
    one = peers()
    row = one.outbox.tell(FIXED, SLACK)
    one.outbox.known.clear()
    await one.work()
    assert "no longer there" in row.dead


# --- side by side -------------------------------------------------------------------------------------------------


async def test_a_channel_that_hangs_delays_no_other(pagerduty: PagerDutyPeer) -> None:
    hanging = Scripted(gate=asyncio.Event())
    pager = PagerDutyClient(api_url=pagerduty.url)
    one = office({"slack": hanging, "pagerduty": PagerDutyNotifier(pager, {"payments": ROUTING_KEY})})
    one.outbox.tell(ROLLED_BACK, SLACK)
    await one.courier.turn()
    row = one.outbox.tell(ROLLED_BACK, PAGER)
    assert await one.courier.turn() == 1
    async with asyncio.timeout(5):
        await one.outbox.noted.wait()
    assert not row.behind()
    assert hanging.in_flight == 1
    assert hanging.gate is not None
    hanging.gate.set()
    await one.courier.drain()
    assert [len(hanging.posted), len(pagerduty.incidents)] == [1, 1]
    await pager.close()


async def test_one_destination_has_one_message_in_flight() -> None:
    channel = Scripted(gate=asyncio.Event())
    one = office({"slack": channel})
    for number in range(4):
        one.outbox.tell(other(FIXED, number), SLACK)
    await one.courier.turn()
    await asyncio.sleep(0)
    one.outbox.tell(other(FIXED, 9), SLACK)
    assert await one.courier.turn() == 0
    assert channel.gate is not None
    channel.gate.set()
    await one.courier.drain()
    for _ in range(6):
        await one.later(3)
    assert channel.most_in_flight == 1
    assert len(channel.posted) == 5


async def test_an_answer_that_takes_too_long_frees_the_lane_and_is_looked_for_later() -> None:
    channel = Scripted(gate=asyncio.Event())
    one = office({"slack": channel}, turn_seconds=0.05)
    row = one.outbox.tell(FIXED, SLACK)
    await one.work()
    assert "no answer" in str(one.said("tell_later")[0]["error"])
    assert row.item.attempt
    assert channel.gate is not None
    channel.gate.set()
    await one.later(60)
    assert not row.behind()


async def test_it_says_when_a_destination_is_free_again() -> None:
    rang = asyncio.Event()
    clock = Moved()
    outbox = MemoryOutbox(clock)
    courier = Courier(
        outbox,
        clock,
        {"pagerduty": Scripted(kind="pagerduty")},
        docs_of=lambda _: None,
        external_url="",
        on_fact=_ignore,
        on_free=rang.set,
    )
    outbox.tell(FIXED, PAGER)
    await courier.turn()
    async with asyncio.timeout(3):
        await rang.wait()
    assert not outbox.rows["i1", PAGER].behind()


async def test_a_lost_lease_is_no_error_of_the_courier() -> None:
    channel = Scripted(gate=asyncio.Event())
    one = office({"slack": channel})
    row: Row = one.outbox.tell(FIXED, SLACK)
    await one.courier.turn()
    await asyncio.sleep(0)
    row.item = replace(row.item, epoch=row.item.epoch + 1)
    assert channel.gate is not None
    channel.gate.set()
    await one.courier.drain()
    assert one.said("tell_waits_for_store")


def _ignore(name: str, /, **fields: object) -> None:
    """Take a fact and forget it."""


async def test_incidents_that_are_told_one_right_after_the_other_are_read_at_once() -> None:
    one = office({"console": Scripted(kind="console")})
    for number in range(5):
        one.outbox.tell(account(incident=incident(id=f"i{number}")), "console")
    await one.work()
    assert one.outbox.reads == [[f"i{number}" for number in range(5)]]


async def test_what_waits_for_its_pace_is_read_when_its_turn_comes() -> None:
    one = office({"slack": Scripted()})
    for number in range(3):
        one.outbox.tell(account(incident=incident(id=f"i{number}")), "slack:#a")
    await one.work()
    assert one.outbox.reads == [["i0"], ["i1"], ["i2"]]


async def test_an_incident_that_cannot_be_read_keeps_no_other_from_being_told() -> None:
    channel = Scripted(kind="console")
    one = office({"console": channel})
    for number in range(4):
        one.outbox.tell(account(incident=incident(id=f"i{number}")), "console")
    one.outbox.unreadable = {"i2"}
    await one.work()
    assert [news.incident_id for news in channel.posted] == ["i0", "i1", "i3"]
    assert one.outbox.rows["i2", "console"].error.startswith("ValueError")


# --- a storm ------------------------------------------------------------------------------------------------------

STORM = Storm(after=2, within=timedelta(days=3650))


@pytest.fixture
async def stormy(slack: SlackPeer) -> AsyncIterator[Office]:
    """Give an office for which three incidents are a storm."""
    slack.posts = Rate(None, 1.0)
    chat = SlackClient(slack.token, api_url=slack.api_url, pace=FREE)
    yield office({"slack": SlackNotifier(chat, post_every=0.0), "console": Scripted(kind="console")}, storm=STORM)
    await chat.close()


async def test_in_a_storm_a_channel_has_one_message_for_all_who_need_nobody(stormy: Office, slack: SlackPeer) -> None:
    one = stormy
    for number in range(2):
        one.outbox.tell(other(FIXING, number), SLACK)
    await one.later(1)
    assert len(mine(slack)) == 2, "it is no storm yet"
    rows = [one.outbox.tell(other(FIXING, number), SLACK) for number in range(2, 40)]
    for _ in range(4):
        await one.later(5)
    assert not any(row.behind() for row in rows)
    digest, *more = [text for text in mine(slack) if "incidents in a storm" in text]
    assert more == []
    assert "38 incidents in a storm: 38 fixing" in digest
    assert len(mine(slack)) == 3

    rows = [one.outbox.tell(other(FIXED, number), SLACK) for number in range(2, 40)]
    for _ in range(10):
        await one.later(5)
    assert not any(row.behind() for row in rows)
    assert any("38 incidents in a storm: 38 fixed" in text for text in mine(slack))
    assert len(mine(slack)) == 3
    blocks = next(one.blocks for one in slack.messages if "storm" in one.text)
    assert sum("|open>" in str(block) for block in blocks) == 15, "the worst link to their incidents"


async def test_in_a_storm_an_incident_that_cannot_be_read_uses_up_no_other(stormy: Office, slack: SlackPeer) -> None:
    one = stormy
    for number in range(20):
        one.outbox.tell(other(FIXING, number), SLACK)
    one.outbox.unreadable = {"i5"}
    for _ in range(10):
        await one.later(300)
    bad = one.outbox.rows["i5", SLACK]
    assert "a row that nobody can read" in bad.dead
    assert [key for (key, _), row in one.outbox.rows.items() if row.behind()] == ["i5"]
    assert any("19 incidents in a storm" in text for text in mine(slack))


async def test_who_needs_a_person_is_told_by_itself_whatever_storm_there_is(stormy: Office, slack: SlackPeer) -> None:
    one = stormy
    for number in range(20):
        one.outbox.tell(other(FIXING, number), SLACK)
    called = one.outbox.tell(other(ROLLED_BACK, 20), SLACK)
    for _ in range(4):
        await one.later(5)
    assert not called.behind()
    assert [text for text in mine(slack) if "needs you" in text]
    later = one.outbox.tell(other(ROLLED_BACK, 3), SLACK)
    for _ in range(10):
        await one.later(5)
    assert not later.behind()
    assert len([text for text in mine(slack) if "needs you" in text]) == 2
    assert any("19 incidents in a storm" in text for text in mine(slack)), "the digest no longer tells of it"


async def test_only_what_people_read_like_a_conversation_is_digested(stormy: Office) -> None:
    one = stormy
    rows = [one.outbox.tell(other(FIXING, number), "console:") for number in range(20)]
    await one.work()
    assert not any(row.behind() for row in rows)
    assert len(one.outbox.rows) == 20


async def test_at_slacks_real_limits_nothing_is_refused_and_every_last_state_is_told(slack: SlackPeer) -> None:
    channels = ["C0ALERTS", "C0ONCALL"]
    chat = SlackClient(slack.token, api_url=slack.api_url)
    clock = Moved()
    outbox = MemoryOutbox(clock)
    storm = Storm(after=1, within=timedelta(days=3650))
    courier = Courier(
        outbox,
        clock,
        {"slack": SlackNotifier(chat)},
        docs_of=lambda _: DOCS,
        external_url=URL,
        on_fact=_ignore,
        storm=lambda: storm,
    )
    for place, channel in enumerate(channels):
        outbox.tell(other(FIXING, place), f"slack:{channel}")
    await courier.turn()
    await courier.drain()
    rows = [outbox.tell(other(FIXED, number), f"slack:{channels[number % 2]}") for number in range(40)]
    async with asyncio.timeout(20):
        while any(row.behind() for row in outbox.rows.values()):
            await courier.turn()
            await asyncio.sleep(0.05)
    await courier.drain()
    await chat.close()
    assert slack.limited == 0
    assert not any(row.dead for row in rows)
    assert sorted("19 incidents" in text for text in mine(slack)) == [False, False, True, True]


async def test_who_is_only_called_for_help_hears_nothing_before_a_person_is_needed() -> None:
    channel = Scripted("email")
    it = office({"email": channel}, pager="email:boss")
    for known, heard in ((FIXING, 0), (FIXED, 0), (ROLLED_BACK, 1), (FIXED, 2)):
        it.outbox.tell(known, "email:boss")
        await it.later(60)
        assert len(channel.posted) == heard
    assert it.outbox.rows["i1", "email:boss"].item.receipt is not None
