"""One suite for every notifier, against peers that hold to the channels' documented limits."""

import hashlib
import io
import json
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from aiohttp import web
from pydantic import JsonValue

from responder.app.masked import masked
from responder.clients.apprise_services import AppriseService
from responder.clients.mail import Mailer
from responder.clients.pace import LocalPace
from responder.clients.pagerduty import PagerDutyClient
from responder.clients.posting import Poster
from responder.clients.slack import SlackClient
from responder.domain.errors import DeliveryError, NotYet, StoreError
from responder.domain.notification import Entry, Notification, Receipt
from responder.notifiers.apprise_services import AppriseNotifier
from responder.notifiers.console import ConsoleNotifier
from responder.notifiers.mail import MailNotifier
from responder.notifiers.pagerduty import PagerDutyNotifier
from responder.notifiers.slack import SlackNotifier
from responder.notifiers.slack_webhook import SlackWebhookNotifier
from responder.notifiers.teams import TeamsNotifier
from responder.notifiers.webhook import WebhookNotifier
from responder.ports.notifier import Notifier, PartlyDelivered, WithoutEdits
from responder.telemetry import Redactor
from tests.bed.paces import FREE
from tests.bed.pagerduty_peer import ROUTING_KEY, PagerDutyPeer
from tests.bed.posting_peers import hook, mail_server, teams
from tests.bed.slack_peer import SlackPeer
from tests.bed.slack_peer import slack as serve_slack
from tests.bed.web import Kind, Rate, serving
from tests.unit.tell.office import office
from tests.unit.tell.stories import STORIES, hostile

MENTION = "<!subteam^S0ONCALL>"
PATIENT, HASTY = timedelta(seconds=3), timedelta(seconds=0.2)
FIRING, ROLLED_BACK, FIXED = (STORIES[name].told() for name in ("firing", "rolled-back", "fixed"))


@dataclass(frozen=True, slots=True)
class Bench:
    """A notifier, an address of its own, what stands there now, and what the channel has refused."""

    notifier: Notifier
    address: str
    standing: Callable[[], Sequence[str]]
    refused: Callable[[], Sequence[Any]]


def slack_notifier(
    peer: SlackPeer, stack: AsyncExitStack, *, post_every: float = 0.0, timeout: timedelta = PATIENT
) -> SlackNotifier:
    client = SlackClient(peer.token, api_url=peer.api_url, timeout=timeout, pace=FREE)
    stack.push_async_callback(client.close)
    return SlackNotifier(client, post_every=post_every)


def pagerduty_notifier(peer: PagerDutyPeer, stack: AsyncExitStack) -> PagerDutyNotifier:
    client = PagerDutyClient(api_url=peer.url, timeout=PATIENT, pace=FREE)
    stack.push_async_callback(client.close)
    return PagerDutyNotifier(client, {"payments": ROUTING_KEY})


def main_messages(peer: SlackPeer) -> list[str]:
    """Return the messages outside of threads, as their readers see them."""
    return [_texts(message.blocks) for message in peer.messages if message.thread_ts in {None, message.ts}]


def replies(peer: SlackPeer) -> list[str]:
    return [_texts(message.blocks) for message in peer.messages if message.thread_ts not in {None, message.ts}]


def _texts(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(_texts(one) for one in value)
    if not isinstance(value, dict):
        return ""
    own = [value["text"]] if isinstance(value.get("text"), str) else []
    return "\n".join([*own, *(_texts(one) for one in value.values() if not isinstance(one, str))])


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as one:
        yield one


@pytest.fixture
def free_slack(slack: SlackPeer) -> SlackPeer:
    """Give a Slack that takes posts as fast as they come."""
    slack.posts = Rate(None, 1.0)
    return slack


def posts_to(name: str, url: str, stack: AsyncExitStack, timeout: timedelta = PATIENT) -> Poster:
    poster = Poster(name, url, timeout=timeout)
    stack.push_async_callback(poster.close)
    return poster


async def _hook(stack: AsyncExitStack) -> Bench:
    peer = await stack.enter_async_context(hook())
    notifier = WebhookNotifier({"audit": (posts_to("notify.webhook.audit", peer.url, stack), peer.secret)})
    return Bench(
        notifier, "audit", lambda: [json.dumps(one, ensure_ascii=False) for one in peer.events], lambda: peer.refused
    )


async def _teams(stack: AsyncExitStack) -> Bench:
    peer = await stack.enter_async_context(teams())
    notifier = TeamsNotifier({"oncall": posts_to("notify.teams.oncall", peer.url, stack)})
    return Bench(notifier, "oncall", lambda: [_texts(one["body"]) for one in peer.cards], lambda: peer.refused)


async def _mail(stack: AsyncExitStack) -> Bench:
    box = await stack.enter_async_context(mail_server())
    notifier = MailNotifier(Mailer("127.0.0.1", box.port, tls="none"), "responder@corp.example")

    def shown(one: EmailMessage) -> str:
        return f"{one['Subject']}\n{one.get_content()}".replace("\r\n", "\n")

    return Bench(notifier, "oncall@corp.example", lambda: [shown(one) for one in box.mails], list)


async def _apprise(stack: AsyncExitStack) -> Bench:
    told: list[str] = []

    async def take(request: web.Request) -> web.Response:
        said = await request.json()
        told.append(f"{said['title']}\n{said['message']}")
        return web.Response()

    app = web.Application()
    app.router.add_post("/any", take)
    base = await stack.enter_async_context(serving(app))
    service = AppriseService("notify.apprise.any", f"{base.replace('http', 'json')}/any")
    return Bench(AppriseNotifier({"any": service}), "any", lambda: told, list)


@pytest.fixture(params=["console", "slack", "pagerduty", "slack_webhook", "webhook", "teams", "email", "apprise"])
async def bench(
    request: pytest.FixtureRequest, stack: AsyncExitStack, free_slack: SlackPeer, pagerduty: PagerDutyPeer
) -> Bench:
    """Give every notifier in turn, behind what stands before each of them in a responder."""
    found = await _bench(str(request.param), stack, free_slack, pagerduty)
    return replace(found, notifier=masked(found.notifier, Redactor()))


async def _bench(kind: str, stack: AsyncExitStack, free_slack: SlackPeer, pagerduty: PagerDutyPeer) -> Bench:
    if kind == "slack":
        return Bench(
            slack_notifier(free_slack, stack), "#alerts", lambda: main_messages(free_slack), lambda: free_slack.refused
        )
    if kind == "slack_webhook":
        poster = posts_to("notify.slack_webhook.alerts", free_slack.webhook_url, stack)
        notifier = SlackWebhookNotifier({"alerts": poster}, post_every=0)
        return Bench(notifier, "alerts", lambda: main_messages(free_slack), lambda: free_slack.refused)
    if kind == "pagerduty":
        return Bench(
            pagerduty_notifier(pagerduty, stack),
            "payments",
            lambda: [json.dumps(one.payload, ensure_ascii=False) for one in pagerduty.incidents],
            lambda: pagerduty.rejected,
        )
    others = {"webhook": _hook, "teams": _teams, "email": _mail, "apprise": _apprise}
    if kind in others:
        return await others[kind](stack)
    out = io.StringIO()
    return Bench(
        ConsoleNotifier(out),
        "",
        lambda: [one for one in out.getvalue().split("\n") if one[:1] not in {"", " ", "↻"}],
        list,
    )


async def delivered(bench: Bench, *told: Notification) -> Receipt:
    receipt: Receipt | None = None
    for news in told:
        receipt = await bench.notifier.deliver(news, bench.address, receipt, "attempt-1")
    assert receipt is not None
    return receipt


async def test_an_incident_is_posted_once_and_edited_from_then_on(bench: Bench) -> None:
    await delivered(bench, ROLLED_BACK, ROLLED_BACK, replace(ROLLED_BACK, revision=2))
    assert len(bench.standing()) == 1
    assert "CheckoutErrorsHigh" in bench.standing()[0]


async def test_a_receipt_survives_being_stored_as_json(bench: Bench) -> None:
    receipt = await delivered(bench, ROLLED_BACK)
    stored = json.loads(json.dumps(dict(receipt)))
    again = await bench.notifier.deliver(ROLLED_BACK, bench.address, stored, "")
    assert len(bench.standing()) == 1
    assert json.loads(json.dumps(dict(again))) == dict(again)


async def test_limits_are_kept_whatever_an_alert_is_called(bench: Bench) -> None:
    news = hostile().told()
    await delivered(bench, news, news)
    assert bench.refused() == []
    assert len(bench.standing()) == 1


async def test_nothing_that_shows_nothing_reaches_a_channel(bench: Bench) -> None:
    nasty = "a\x00b\x1b[31m\u202egnp\u2066\x07\x9b"
    news = replace(ROLLED_BACK, title=nasty, page=nasty, by_hand=nasty, summary=nasty, why=nasty)
    await delivered(bench, news)
    shown = "".join(bench.standing())
    assert not [one for one in shown if unicodedata.category(one) in {"Cc", "Cf"} and one not in "\n\ufe0f\u200d"]


async def test_an_unknown_attempt_is_not_found(bench: Bench) -> None:
    assert await bench.notifier.find(bench.address, "nobody") is None


@dataclass(slots=True)
class Cut:
    """A channel of which the next answers are lost on the way, or die with the process that waits for them."""

    notifier: Notifier
    errors: list[Exception] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return self.notifier.kind

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        answer = await self.notifier.deliver(notification, address, receipt, attempt)
        if self.errors:
            raise self.errors.pop(0)
        return answer

    async def find(self, address: str, attempt: str) -> Receipt | None:
        return await self.notifier.find(address, attempt)


class CutWithoutEdits(Cut):
    """The same for a channel without edits."""

    def on_the_way(self, notification: Notification, address: str, receipt: Receipt | None) -> Receipt | None:
        assert isinstance(self.notifier, WithoutEdits)
        return self.notifier.on_the_way(notification, address, receipt)


LOST, DIED = DeliveryError("no answer", uncertain=True), StoreError("whoever sent it never came to note it")
FIXED_STORY, FIXING_STORY, ROLLED_BACK_STORY = (STORIES[name].account for name in ("fixed", "fixing", "rolled-back"))


@pytest.mark.parametrize("fate", [LOST, DIED], ids=["lost", "died"])
@pytest.mark.parametrize("bench", ["slack", "slack_webhook", "webhook", "teams", "email", "apprise"], indirect=True)
async def test_the_last_state_is_told_though_the_answer_to_the_one_between_was_lost(
    bench: Bench, fate: Exception
) -> None:
    edits = not isinstance(bench.notifier, WithoutEdits)
    channel = Cut(bench.notifier) if edits else CutWithoutEdits(bench.notifier)
    courier, where = office({channel.kind: channel}), f"{channel.kind}:{bench.address}"
    courier.outbox.tell(FIXED_STORY, where)
    await courier.later(2)
    channel.errors.append(fate)
    courier.outbox.tell(FIXING_STORY, where)
    await courier.later(2)
    assert "Fixing" in bench.standing()[-1]
    row = courier.outbox.tell(FIXED_STORY, where)
    for _ in range(3):
        await courier.later(60)
        assert not row.behind()
    words = [
        re.findall(r"Fixing|Fixed|\(repeated\)", one.split("\n")[0] if not edits else one) for one in bench.standing()
    ]
    assert words[-1][0] == "Fixed"
    assert len(words) == (1 if edits else 3)
    assert bench.refused() == []


async def test_what_was_certainly_refused_leaves_no_doubt(stack: AsyncExitStack) -> None:
    peer = await stack.enter_async_context(hook())
    notifier = WebhookNotifier({"audit": (posts_to("notify.webhook.audit", peer.url, stack), peer.secret)})
    courier = office({"webhook": notifier})
    courier.outbox.tell(FIXED_STORY, "webhook:audit")
    await courier.later(2)
    peer.faults.next("status", status=429, retry_after=9)
    row = courier.outbox.tell(FIXING_STORY, "webhook:audit")
    await courier.later(2)
    assert (row.behind(), row.item.attempt) == (True, "")
    assert "trying" not in (row.item.receipt or {})
    courier.outbox.tell(FIXED_STORY, "webhook:audit")
    await courier.later(60)
    assert not row.behind()
    assert [one["state"] for one in peer.events] == ["fixed"]


@pytest.mark.parametrize("fate", [LOST, DIED], ids=["lost", "died"])
async def test_a_page_is_ended_and_made_though_the_answer_to_the_one_before_was_lost(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack, fate: Exception
) -> None:
    channel = CutWithoutEdits(masked(pagerduty_notifier(pagerduty, stack), Redactor()))
    courier, where = office({"pagerduty": channel}), "pagerduty:payments"
    for story, called in ((ROLLED_BACK_STORY, 1), (FIXED_STORY, 0), (ROLLED_BACK_STORY, 1)):
        channel.errors.append(fate)
        row = courier.outbox.tell(story, where)
        await courier.later(100)
        assert (len(pagerduty.open()), row.behind()) == (called, True)
    await courier.later(100)
    assert len(pagerduty.open()) == 1
    assert not any(row.behind() for row in courier.outbox.rows.values())


# --- Slack --------------------------------------------------------------------------------------------------------


async def test_slack_never_calls_a_channel_on_an_alerts_behalf(free_slack: SlackPeer, stack: AsyncExitStack) -> None:
    await slack_notifier(free_slack, stack).deliver(hostile().told(), "#alerts", None, "a")
    for message in free_slack.messages:
        assert "<!" not in message.text
        assert "<@" not in message.text
        assert "<!" not in _texts(message.blocks)
        assert "<@" not in _texts(message.blocks)


async def test_a_first_post_whose_answer_was_lost_is_found_and_edited(
    free_slack: SlackPeer, stack: AsyncExitStack
) -> None:
    free_slack.faults.next("lost_reply", on="chat.postMessage")
    notifier = slack_notifier(free_slack, stack)
    with pytest.raises(DeliveryError) as lost:
        await notifier.deliver(FIRING, "C0ALERTS", None, "attempt-1")
    assert lost.value.uncertain
    free_slack.say("#alerts", "what is going on?")
    receipt = await notifier.find("C0ALERTS", "attempt-1")
    assert receipt is not None
    await notifier.deliver(FIXED, "C0ALERTS", receipt, "")
    mine = [one for one in main_messages(free_slack) if "CheckoutErrorsHigh" in one]
    assert len(mine) == 1
    assert "Fixed in 3m12s" in mine[0]


async def test_a_lost_post_is_found_after_a_restart_though_the_channel_is_known_by_name_only(
    stack: AsyncExitStack,
) -> None:
    peer = await stack.enter_async_context(serve_slack(SlackPeer(posts=Rate(None, 1.0))))
    await slack_notifier(peer, stack).deliver(FIRING, "#alerts", None, "attempt-1")
    found = await slack_notifier(peer, stack).find("#alerts", "attempt-1")
    assert found is not None
    assert found["channel"] == "C0ALERTS"


async def test_a_lost_post_is_found_though_the_list_of_channels_is_longer_than_its_pace_allows_in_one_try(
    stack: AsyncExitStack,
) -> None:
    many = {f"team-{number}": f"C0TEAM{number}" for number in range(2000)} | {"alerts": "C0ALERTS"}
    peer = await stack.enter_async_context(serve_slack(SlackPeer(posts=Rate(None, 1.0), channels=many)))
    await slack_notifier(peer, stack).deliver(FIRING, "#alerts", None, "attempt-1")
    now = 1000.0
    client = SlackClient(peer.token, api_url=peer.api_url, timeout=PATIENT, pace=LocalPace(lambda: now))
    stack.push_async_callback(client.close)
    notifier = SlackNotifier(client)
    found, tries = None, 0
    while found is None:
        tries += 1
        assert tries < 10, "it begins at the first page each time"
        try:
            found = await notifier.find("#alerts", "attempt-1")
        except NotYet as error:
            now += (error.retry_after or timedelta()).total_seconds()
    assert found["channel"] == "C0ALERTS"
    assert len([one for one in peer.calls if one.method == "conversations.list"]) == 5, "each page once"


async def test_without_the_right_to_read_nothing_is_found_and_nothing_fails(
    free_slack: SlackPeer, stack: AsyncExitStack
) -> None:
    free_slack.scopes.discard("channels:history")
    assert await slack_notifier(free_slack, stack).find("C0ALERTS", "attempt-1") is None
    assert await slack_notifier(free_slack, stack).find("#alerts", "attempt-1") is None


async def test_slacks_own_pace_is_asked_for(free_slack: SlackPeer, stack: AsyncExitStack) -> None:
    free_slack.faults.next("status", status=429, retry_after=7, on="chat.postMessage")
    with pytest.raises(DeliveryError) as slow:
        await slack_notifier(free_slack, stack).deliver(FIRING, "#alerts", None, "a")
    assert slow.value.retry_after == timedelta(seconds=7)
    assert not slow.value.uncertain
    assert free_slack.messages == []


async def test_posts_and_replies_keep_slacks_pace_by_themselves(slack: SlackPeer, stack: AsyncExitStack) -> None:
    notifier = slack_notifier(slack, stack, post_every=1.05)
    receipt = await notifier.deliver(FIRING, "#alerts", None, "a")
    await notifier.deliver(ROLLED_BACK, "#alerts", receipt, "a")
    assert slack.limited == 0
    assert len(replies(slack)) == 2


@pytest.mark.parametrize("why", ["deleted", "edit_window_closed", "somebody else's"])
async def test_a_message_that_cannot_be_edited_any_more_is_gone(
    free_slack: SlackPeer, stack: AsyncExitStack, why: str
) -> None:
    notifier = slack_notifier(free_slack, stack)
    receipt: Receipt = await notifier.deliver(FIRING, "#alerts", None, "a")
    if why == "deleted":
        free_slack.delete(free_slack.messages[0])
    elif why == "edit_window_closed":
        free_slack.edit_window_closed = True
    else:
        receipt = {"channel": "C0ALERTS", "ts": free_slack.say("#alerts", "mine").ts, "posted": []}
    with pytest.raises(DeliveryError) as gone:
        await notifier.deliver(FIXED, "#alerts", receipt, "")
    assert gone.value.gone


async def test_everything_that_happened_is_in_the_thread_once(free_slack: SlackPeer, stack: AsyncExitStack) -> None:
    notifier = slack_notifier(free_slack, stack)
    receipt: Receipt | None = None
    for name in ("nothing-matches", "fixing", "fixing", "fixed", "resolved"):
        receipt = await notifier.deliver(STORIES[name].told(), "#alerts", receipt, "a")
    told = "\n".join(replies(free_slack))
    for text in ("firing: CheckoutErrorsHigh", "workers: 4 → 6", "helped, took", "resolved: CheckoutErrorsHigh"):
        assert told.count(text) == 1, text


async def test_a_reply_whose_answer_was_lost_is_not_repeated(free_slack: SlackPeer, stack: AsyncExitStack) -> None:
    notifier = slack_notifier(free_slack, stack)
    first = await notifier.deliver(replace(FIRING, entries=()), "#alerts", None, "a")
    free_slack.faults.next("lost_reply", on="chat.postMessage")
    with pytest.raises(PartlyDelivered) as partly:
        await notifier.deliver(FIXED, "#alerts", first, "")
    await notifier.deliver(FIXED, "#alerts", partly.value.receipt, "")
    assert "\n".join(replies(free_slack)).count("workers: 4 → 6") == 1


async def test_a_restart_does_not_repeat_the_thread(free_slack: SlackPeer, stack: AsyncExitStack) -> None:
    await slack_notifier(free_slack, stack).deliver(FIXED, "#alerts", None, "attempt-1")
    restarted = slack_notifier(free_slack, stack)
    found = await restarted.find("C0ALERTS", "attempt-1")
    await restarted.deliver(FIXED, "#alerts", found, "")
    assert len(replies(free_slack)) == 1


async def test_a_slow_thread_does_not_lose_the_message(free_slack: SlackPeer, stack: AsyncExitStack) -> None:
    notifier = slack_notifier(free_slack, stack)
    first = await notifier.deliver(replace(FIRING, entries=()), "#alerts", None, "a")
    free_slack.faults.next("status", status=429, retry_after=3, on="chat.postMessage")
    with pytest.raises(PartlyDelivered) as partly:
        await notifier.deliver(FIXED, "#alerts", first, "")
    assert partly.value.retry_after == timedelta(seconds=3)
    assert "Fixed in 3m12s" in main_messages(free_slack)[0]
    await notifier.deliver(FIXED, "#alerts", partly.value.receipt, "")
    assert len(main_messages(free_slack)) == 1
    assert "workers: 4 → 6" in "\n".join(replies(free_slack))


ASKING = STORIES["asking"].told()


def questions_of(peer: SlackPeer) -> list[str]:
    return [_texts(message.blocks) for message in peer.messages if message.broadcast]


async def test_each_of_several_questions_is_a_message_linked_from_the_incidents(
    free_slack: SlackPeer, stack: AsyncExitStack
) -> None:
    notifier = slack_notifier(free_slack, stack)
    receipt = await notifier.deliver(ASKING, "#alerts", None, "a")
    (asked,) = questions_of(free_slack)
    assert "May it? Until 14:32 UTC" in asked
    (link,) = re.findall(r"<(\S+)\|http/cart · checkout-workers>", main_messages(free_slack)[0])
    (message,) = [one for one in free_slack.messages if one.broadcast]
    assert f"p{message.ts.replace('.', '')}?" in link
    stored = json.loads(json.dumps(dict(receipt)))
    answered = replace(ASKING.questions[1], icon="✔", outcome="Approved by ben", pending=False, buttons=())
    again = replace(ASKING, questions=(ASKING.questions[0], answered))
    await slack_notifier(free_slack, stack).deliver(again, "#alerts", stored, "")
    (asked,) = questions_of(free_slack)
    assert "✔ Approved by ben" in asked
    assert "|http/cart · checkout-workers>" not in main_messages(free_slack)[0]


async def test_a_question_is_not_put_twice_after_a_crash_but_again_when_it_was_deleted(
    free_slack: SlackPeer, stack: AsyncExitStack
) -> None:
    receipt = await slack_notifier(free_slack, stack).deliver(ASKING, "#alerts", None, "a")
    lost = {key: value for key, value in receipt.items() if key not in ("asked", "posted")}
    receipt = await slack_notifier(free_slack, stack).deliver(ASKING, "#alerts", lost, "")
    (message,) = [one for one in free_slack.messages if one.broadcast]
    free_slack.delete(message)
    changed = replace(ASKING.questions[1], outcome="May it? Until 14:40 UTC")
    again = replace(ASKING, questions=(ASKING.questions[0], changed))
    await slack_notifier(free_slack, stack).deliver(again, "#alerts", receipt, "")
    (asked,) = questions_of(free_slack)
    assert "14:40 UTC" in asked


def calls_in(peer: SlackPeer) -> int:
    return sum(_texts(message.blocks).count(MENTION) for message in peer.messages)


async def test_people_are_mentioned_only_when_a_person_is_needed_and_once(
    free_slack: SlackPeer, stack: AsyncExitStack
) -> None:
    client = SlackClient(free_slack.token, api_url=free_slack.api_url, timeout=PATIENT)
    stack.push_async_callback(client.close)
    notifier = SlackNotifier(client, post_every=0.0, mention=MENTION)
    receipt = await notifier.deliver(FIRING, "#alerts", None, "a")
    for name in ("fixing", "fixed", "observed", "resolved", "waiting"):
        receipt = await notifier.deliver(STORIES[name].told(), "#alerts", receipt, "")
    assert calls_in(free_slack) == 0
    for _ in range(3):
        receipt = await notifier.deliver(ROLLED_BACK, "#alerts", receipt, "")
    assert (calls_in(free_slack), MENTION in main_messages(free_slack)[0]) == (2, True), "in the message and its thread"
    await notifier.deliver(FIXED, "#alerts", receipt, "")
    assert MENTION not in main_messages(free_slack)[0]
    free_slack.messages.clear()
    await notifier.deliver(ROLLED_BACK, "#alerts", None, "b")
    assert calls_in(free_slack) == 1, "what is posted with a mention has called already"


async def test_what_a_reply_has_no_room_for_goes_into_the_next_one(
    free_slack: SlackPeer, stack: AsyncExitStack
) -> None:
    many = tuple(Entry(f"k{n}", FIRING.since, f"{n} " + "w" * 250) for n in range(100))
    log = Entry("log", FIRING.since, "the log", body="l" * 9_000)
    await slack_notifier(free_slack, stack).deliver(replace(FIRING, entries=(*many, log)), "#alerts", None, "a")
    said = "\n".join(replies(free_slack))
    assert all(f" {n} www" in said for n in range(100))
    assert "llll…" in said
    assert 3 <= len(replies(free_slack)) <= 4
    assert free_slack.refused == []


@pytest.mark.parametrize("fault", ["hang", "reset", "status"])
async def test_an_answer_that_does_not_come_may_mean_that_the_post_arrived(
    free_slack: SlackPeer, stack: AsyncExitStack, fault: Kind
) -> None:
    free_slack.faults.next(fault, on="chat.postMessage")
    notifier = slack_notifier(free_slack, stack, timeout=HASTY if fault == "hang" else PATIENT)
    with pytest.raises(DeliveryError) as error:
        await notifier.deliver(FIRING, "#alerts", None, "a")
    assert error.value.uncertain
    assert free_slack.token not in str(error.value)


async def test_a_slack_that_cannot_be_reached_has_certainly_not_taken_the_post(stack: AsyncExitStack) -> None:
    client = SlackClient("xoxb-none", api_url="http://127.0.0.1:9/api/", timeout=PATIENT)
    stack.push_async_callback(client.close)
    with pytest.raises(DeliveryError, match="cannot be reached") as error:
        await SlackNotifier(client).deliver(FIRING, "#alerts", None, "a")
    assert not error.value.uncertain


async def test_a_channel_that_does_not_exist_is_said_at_once_and_how_to_mend_it(
    free_slack: SlackPeer, stack: AsyncExitStack
) -> None:
    with pytest.raises(DeliveryError, match=r"channel_not_found.*check the name") as error:
        await slack_notifier(free_slack, stack).deliver(FIRING, "#nowhere", None, "a")
    assert error.value.permanent


# --- PagerDuty ----------------------------------------------------------------------------------------------------


async def test_nobody_is_called_while_no_person_is_needed(pagerduty: PagerDutyPeer, stack: AsyncExitStack) -> None:
    notifier = pagerduty_notifier(pagerduty, stack)
    receipt: Receipt | None = None
    for name in ("firing", "fixing", "waiting", "fixed", "observed", "resolved"):
        receipt = await notifier.deliver(STORIES[name].told(), "payments", receipt, "a")
    assert pagerduty.events == []


async def test_a_person_is_called_once_and_let_go_only_when_the_latch_is_clear(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack
) -> None:
    notifier = pagerduty_notifier(pagerduty, stack)
    receipt = await notifier.deliver(FIRING, "payments", None, "a")
    receipt = await notifier.deliver(ROLLED_BACK, "payments", receipt, "")
    receipt = await notifier.deliver(replace(ROLLED_BACK, resolved=True), "payments", receipt, "")
    assert [one.status for one in pagerduty.incidents] == ["triggered"]
    receipt = await notifier.deliver(FIXED, "payments", receipt, "")
    await notifier.deliver(FIXED, "payments", receipt, "")
    assert [one.status for one in pagerduty.incidents] == ["resolved"]
    assert [one["event_action"] for one in pagerduty.events] == ["trigger", "resolve"]


async def test_what_gets_worse_is_told_once_more_under_the_same_key(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack
) -> None:
    notifier = pagerduty_notifier(pagerduty, stack)
    receipt: Receipt | None = None
    worse = ("mass-failure", "after-mass-failure", "failed", "partly-undone", "unknown")
    for name in (*worse, "not-undone", "mass-failure", "rolled-back", "asked-again", "unknown"):
        for _ in range(2):
            receipt = await notifier.deliver(STORIES[name].told(), "payments", receipt, "")
    (one,) = pagerduty.incidents
    shown = [event["payload"]["custom_details"]["headline"] for event in one.events]
    assert shown == [STORIES[name].told().headline for name in worse]
    assert [event["payload"]["custom_details"]["state_now"] for event in one.events[:2]] == [
        "nothing was changed",
        "as before the run",
    ]
    receipt = await notifier.deliver(FIXED, "payments", receipt, "")
    await notifier.deliver(STORIES["mass-failure"].told(), "payments", receipt, "")
    assert [one.status for one in pagerduty.incidents] == ["resolved", "triggered"]


async def test_that_it_got_worse_is_told_again_after_its_answer_was_lost(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack
) -> None:
    notifier = pagerduty_notifier(pagerduty, stack)
    receipt = await notifier.deliver(STORIES["mass-failure"].told(), "payments", None, "")
    unknown = STORIES["unknown"].told()
    on_the_way = notifier.on_the_way(unknown, "payments", receipt)
    assert on_the_way is not None
    receipt = await notifier.deliver(unknown, "payments", on_the_way, "")
    assert notifier.on_the_way(unknown, "payments", receipt) is None


async def test_a_person_is_called_for_what_is_in_doubt_though_the_alert_is_gone(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack
) -> None:
    gone = replace(ROLLED_BACK, resolved=True)
    await pagerduty_notifier(pagerduty, stack).deliver(gone, "payments", None, "a")
    assert [one.status for one in pagerduty.incidents] == ["triggered"]


async def test_a_call_whose_answer_was_lost_is_repeated_under_the_same_key(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack
) -> None:
    pagerduty.faults.next("lost_reply")
    notifier = pagerduty_notifier(pagerduty, stack)
    with pytest.raises(DeliveryError) as lost:
        await notifier.deliver(ROLLED_BACK, "payments", None, "attempt-1")
    assert lost.value.uncertain
    await notifier.deliver(ROLLED_BACK, "payments", None, "attempt-1")
    assert len(pagerduty.incidents) == 1


async def test_whoever_is_called_reads_what_was_tried_and_how_it_stands(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack
) -> None:
    await pagerduty_notifier(pagerduty, stack).deliver(ROLLED_BACK, "payments", None, "a")
    payload = pagerduty.incidents[0].payload
    assert payload["severity"] == "critical"
    assert "Rolled back, needs you" in payload["summary"]
    details = payload["custom_details"]
    assert "4 → 6" in details["tried"]
    assert "6 → 4" in details["undone"]
    assert details["state_now"] == "as before the run"
    assert "3.9 %, needs < 1 %" in details["checks"]
    assert "kubectl" in details["by_hand"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 429, "retry_after": 12}, {"retry_after": timedelta(seconds=12), "permanent": False}),
        ({"status": 429}, {"retry_after": timedelta(seconds=30), "permanent": False}),
        ({"status": 503}, {"retry_after": None, "permanent": False}),
        ({"status": 400}, {"retry_after": None, "permanent": True}),
    ],
)
async def test_pagerdutys_answers_say_whether_to_try_again(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack, fault: dict[str, int], expected: dict[str, object]
) -> None:
    pagerduty.faults.next("status", status=fault["status"], retry_after=fault.get("retry_after"))
    with pytest.raises(DeliveryError) as error:
        await pagerduty_notifier(pagerduty, stack).deliver(ROLLED_BACK, "payments", None, "a")
    assert {key: getattr(error.value, key) for key in expected} == expected
    assert ROUTING_KEY not in str(error.value)


async def test_a_service_without_a_key_is_named(pagerduty: PagerDutyPeer, stack: AsyncExitStack) -> None:
    with pytest.raises(DeliveryError, match="'search'") as error:
        await pagerduty_notifier(pagerduty, stack).deliver(ROLLED_BACK, "search", None, "a")
    assert error.value.permanent


async def test_every_change_and_every_undo_is_a_change_event_once_and_calls_nobody(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack
) -> None:
    notifier = pagerduty_notifier(pagerduty, stack)
    receipt: Receipt | None = None
    for name in ("firing", "fixing", "fixing", "fixed", "fixed"):
        receipt = await notifier.deliver(STORIES[name].told(), "payments", receipt, "a")
    assert [one["payload"]["summary"] for one in pagerduty.changes] == [
        "✔ workers: 4 → 6 (set-workers, 1s) (CheckoutErrorsHigh · http/checkout)"
    ]
    assert pagerduty.changes[0]["payload"]["source"] == "http/checkout"
    assert pagerduty.events == []
    await notifier.deliver(ROLLED_BACK, "payments", None, "a")
    assert any("6 → 4" in one["payload"]["summary"] for one in pagerduty.changes)
    assert pagerduty.rejected == []


async def test_a_page_goes_out_before_changes_and_does_not_wait_for_them(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack
) -> None:
    pagerduty.faults.next("status", status=429, retry_after=9, on="/change/enqueue")
    notifier = pagerduty_notifier(pagerduty, stack)
    with pytest.raises(PartlyDelivered) as partly:
        await notifier.deliver(ROLLED_BACK, "payments", None, "a")
    assert partly.value.retry_after == timedelta(seconds=9)
    assert len(pagerduty.incidents) == 1
    await notifier.deliver(ROLLED_BACK, "payments", partly.value.receipt, "a")
    assert [one["event_action"] for one in pagerduty.events] == ["trigger"]
    assert len(pagerduty.changes) == 2


async def test_what_takes_no_change_events_is_sent_none(pagerduty: PagerDutyPeer, stack: AsyncExitStack) -> None:
    ruleset, quiet = "R" + ROUTING_KEY[1:], ROUTING_KEY
    client = PagerDutyClient(api_url=pagerduty.url, timeout=PATIENT)
    stack.push_async_callback(client.close)
    await PagerDutyNotifier(client, {"payments": ruleset}).deliver(FIXED, "payments", None, "a")
    await PagerDutyNotifier(client, {"payments": quiet}, changes=False).deliver(FIXED, "payments", None, "a")
    pagerduty.faults.next("status", status=400, on="/change/enqueue")
    await PagerDutyNotifier(client, {"payments": quiet}).deliver(FIXED, "payments", None, "a")
    assert pagerduty.changes == []


async def test_with_interop_alertmanagers_own_page_is_enriched_and_left_for_it_to_end(
    pagerduty: PagerDutyPeer, stack: AsyncExitStack
) -> None:
    client = PagerDutyClient(api_url=pagerduty.url, timeout=PATIENT)
    stack.push_async_callback(client.close)
    notifier = PagerDutyNotifier(client, {"payments": ROUTING_KEY}, interop={"payments"}, changes=False)
    key = hashlib.sha256(ROLLED_BACK.group_key.encode()).hexdigest()
    theirs: dict[str, JsonValue] = {"summary": "[FIRING:1]", "source": "am", "severity": "critical"}
    await client.send({"routing_key": ROUTING_KEY, "event_action": "trigger", "dedup_key": key, "payload": theirs})
    receipt = await notifier.deliver(ROLLED_BACK, "payments", None, "a")
    assert len(pagerduty.incidents) == 1
    assert "undone" in pagerduty.incidents[0].events[1]["payload"]["custom_details"]
    receipt = await notifier.deliver(replace(ROLLED_BACK, page="", resolved=False), "payments", receipt, "")
    assert [one.status for one in pagerduty.incidents] == ["triggered"]
    receipt = await notifier.deliver(ROLLED_BACK, "payments", receipt, "")
    await notifier.deliver(replace(ROLLED_BACK, page="", resolved=True), "payments", receipt, "")
    assert [one.status for one in pagerduty.incidents] == ["resolved"]


# --- console ------------------------------------------------------------------------------------------------------


async def test_the_console_shows_an_update_with_what_is_new() -> None:
    out = io.StringIO()
    notifier = ConsoleNotifier(out)
    receipt = await notifier.deliver(STORIES["fixing"].told(), "", None, "a")
    before = len(out.getvalue())
    await notifier.deliver(FIXED, "", receipt, "")
    update = out.getvalue()[before:]
    assert update.startswith("↻ 🟢 Fixed in 3m12s")
    assert "4.1 % → 0.3 %" in update
    assert "4.1 % of checkouts fail" not in update


@pytest.mark.parametrize("fate", [None, DIED], ids=["noted", "died"])
async def test_the_last_line_of_a_console_says_how_it_stands(fate: Exception | None) -> None:
    out = io.StringIO()
    channel = CutWithoutEdits(ConsoleNotifier(out))
    courier = office({"console": channel})
    for story in (FIXED_STORY, FIXING_STORY, FIXED_STORY, FIXED_STORY):
        channel.errors += [fate] if fate is not None and story is FIXING_STORY else []
        courier.outbox.tell(story, "console:")
        await courier.later(60)
    heads = [one for one in out.getvalue().split("\n") if "CheckoutErrorsHigh" in one[:80] and not one.startswith(" ")]
    assert [re.findall(r"Fixing|Fixed", one)[0] for one in heads] == ["Fixed", "Fixing", "Fixed"]
    assert ["(repeated)" in one for one in heads] == [False, False, fate is not None]


async def test_a_closed_console_is_a_delivery_error() -> None:
    out = io.StringIO()
    out.close()
    with pytest.raises(DeliveryError):
        await ConsoleNotifier(out).deliver(FIRING, "", None, "a")
