"""Channels that can edit nothing: a message for each change of state, none beside, and what each answer means."""

import re
import smtplib
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from responder.clients.apprise_services import AppriseService
from responder.clients.mail import Mailer
from responder.clients.posting import Poster
from responder.domain.errors import DeliveryError
from responder.domain.notification import Headline, Notification, Receipt
from responder.domain.records import RecordState
from responder.domain.runs import RunState
from responder.notifiers.mail import MailNotifier
from responder.notifiers.slack_webhook import SlackWebhookNotifier
from responder.notifiers.teams import TeamsNotifier
from responder.notifiers.webhook import WebhookNotifier
from responder.ports.notifier import Notifier
from tests.bed.posting_peers import SECRET, HookPeer, hook, mail_server, teams, verify
from tests.bed.slack_peer import SlackPeer
from tests.bed.web import Rate
from tests.unit.tell.stories import STORIES, Story, at, record, run

LIFE = [STORIES[name].told() for name in ("firing", "fixing", "fixing", "fixed", "fixed", "resolved")]
FIRING, FIXING, FIXED, RESOLVED = LIFE[0], LIFE[1], LIFE[3], LIFE[5]
ROLLED_BACK = STORIES["rolled-back"].told()
PATIENT = timedelta(seconds=3)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as one:
        yield one


def poster(url: str, stack: AsyncExitStack, timeout: timedelta = PATIENT) -> Poster:
    made = Poster("notify.any.place", url, timeout=timeout)
    stack.push_async_callback(made.close)
    return made


async def tell(notifier: Notifier, address: str, *life: Notification) -> Receipt:
    receipt: Receipt | None = None
    for news in life:
        receipt = await notifier.deliver(news, address, receipt, "a")
    assert receipt is not None
    return receipt


async def test_each_change_of_state_is_told_once_and_signed(stack: AsyncExitStack) -> None:
    peer = await stack.enter_async_context(hook())
    await tell(WebhookNotifier({"audit": (poster(peer.url, stack), SECRET)}), "audit", *LIFE)
    assert [one["state"] for one in peer.events] == ["firing", "fixing", "fixed", "resolved"]
    assert peer.refused == []
    assert peer.events[2]["incident"] == "i1"
    assert "0.3 %" in peer.events[2]["text"]


async def test_what_comes_next_and_what_was_found_out_is_told_as_well(stack: AsyncExitStack) -> None:
    peer = await stack.enter_async_context(hook())
    await tell(WebhookNotifier({"audit": (poster(peer.url, stack), SECRET)}), "audit", STORIES["diagnosed"].told())
    (event,) = peer.events
    lines = event["text"].splitlines()
    assert "Next: kept if the checks hold by 14:07:00 UTC; otherwise it is undone" in lines
    assert any(one.startswith("🔎 events: 3") for one in lines)
    assert any(one.startswith("📊 checkout-workers") for one in lines)


async def test_a_person_who_is_needed_is_a_change_of_its_own(stack: AsyncExitStack) -> None:
    peer = await stack.enter_async_context(hook())
    needed = replace(ROLLED_BACK, page="")
    await tell(WebhookNotifier({"audit": (poster(peer.url, stack), SECRET)}), "audit", needed, ROLLED_BACK, ROLLED_BACK)
    assert [one["needs_person"] for one in peer.events] == [False, True]


async def test_what_is_changed_or_asked_behind_a_need_for_a_person_is_a_change_of_its_own(
    stack: AsyncExitStack,
) -> None:
    peer = await stack.enter_async_context(hook())
    refused, asked = STORIES["mass-failure"], STORIES["asked-again"]
    later = run(RunState.VERIFYING, id="r2", created_at=at(33))
    acting = replace(refused.account, runs=(*refused.account.runs, later))
    changed = replace(acting, records=(record(RecordState.APPLIED, run_id="r2"),))
    over = replace(asked.account, runs=asked.account.runs[:1], records=asked.account.records[:1])
    left = replace(over, runs=(replace(over.runs[0], state=RunState.FAILED),))
    asks = replace(left, runs=(*left.runs, asked.account.runs[1]))
    life = [Story(one, at(60)).told() for one in (refused.account, acting, changed, over, asked.account, left, asks)]
    notifier = WebhookNotifier({"audit": (poster(peer.url, stack), SECRET)})
    await tell(notifier, "audit", *[news for news in life for _ in range(2)])
    assert [(one["state"], one["facts"]["state_now"]) for one in peer.events] == [
        ("needs_you", "nothing was changed"),
        ("needs_you", "changed: workers: 4 → 6"),
        ("rolled_back", "as before the run"),
        ("waiting", "changed: workers: 4 → 6"),
        ("failed", "as before the run"),
        ("failed", "as before the run"),
    ]
    assert "may it? responder approve r2" in peer.events[-1]["text"]
    assert all(one["needs_person"] for one in peer.events)


async def test_what_is_sent_again_carries_the_id_that_it_had(stack: AsyncExitStack) -> None:
    peer = await stack.enter_async_context(hook())
    notifier = WebhookNotifier({"audit": (poster(peer.url, stack), SECRET)})
    peer.faults.next("lost_reply")
    with pytest.raises(DeliveryError) as lost:
        await notifier.deliver(FIRING, "audit", None, "a")
    assert lost.value.uncertain
    await notifier.deliver(FIRING, "audit", None, "a")
    assert (len(peer.events), len(peer.repeated)) == (1, 1)


async def test_each_message_has_an_id_and_a_number_of_its_own_though_answers_were_lost(stack: AsyncExitStack) -> None:
    peer = await stack.enter_async_context(hook())
    notifier = WebhookNotifier({"audit": (poster(peer.url, stack), SECRET)})
    receipt: Receipt | None = None
    for news in (FIXING, FIXED, FIXING):
        on_the_way = notifier.on_the_way(news, "audit", receipt)
        peer.faults.next("lost_reply")
        with pytest.raises(DeliveryError):
            await notifier.deliver(news, "audit", receipt, "a")
        receipt = on_the_way
    receipt = await notifier.deliver(FIXING, "audit", receipt, "a")
    receipt = await notifier.deliver(FIXED, "audit", receipt, "a")
    assert [(one["number"], one["state"]) for one in peer.events] == [
        (0, "fixing"),
        (1, "fixed"),
        (2, "fixing"),
        (3, "fixed"),
    ]
    assert peer.repeated == [peer.events[2]["id"]]
    assert await notifier.deliver(FIXED, "audit", receipt, "a") == receipt


async def test_a_state_that_is_not_mailed_leaves_open_whether_the_one_before_arrived(stack: AsyncExitStack) -> None:
    box = await stack.enter_async_context(mail_server())
    mailer = Mailer("127.0.0.1", box.port, tls="none")
    notifier = MailNotifier(mailer, "responder@corp.example", final_only=True)
    receipt = await notifier.deliver(FIXED, "ana@corp.example", None, "a")
    in_doubt = notifier.on_the_way(ROLLED_BACK, "ana@corp.example", receipt)
    assert notifier.on_the_way(FIXING, "ana@corp.example", in_doubt) is None
    receipt = await notifier.deliver(FIXING, "ana@corp.example", in_doubt, "a")
    await notifier.deliver(FIXED, "ana@corp.example", receipt, "a")
    assert ["(repeated)" in one["Subject"] for one in box.mails] == [False, True]
    assert box.mails[1]["References"] == box.mails[0]["Message-ID"] != box.mails[1]["Message-ID"]


async def test_a_wrong_secret_and_a_late_replay_are_refused(stack: AsyncExitStack) -> None:
    peer = await stack.enter_async_context(hook())
    wrong = WebhookNotifier({"audit": (poster(peer.url, stack), "whsec_b3RoZXI=")})
    with pytest.raises(DeliveryError, match="signature is wrong") as error:
        await wrong.deliver(FIRING, "audit", None, "a")
    assert error.value.permanent
    late = WebhookNotifier({"audit": (poster(peer.url, stack), SECRET)}, now=lambda: time.time() - 600)
    with pytest.raises(DeliveryError, match="stale"):
        await late.deliver(FIRING, "audit", None, "a")


def test_the_recipe_of_the_documentation_accepts_what_is_signed_and_nothing_else() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/channels.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    recipe: dict[str, object] = {}
    exec(textwrap.dedent(code), recipe)  # noqa: S102 -- our own documentation
    accepts = recipe["accepts"]
    assert callable(accepts)
    from responder.notifiers.webhook import signature

    stamp = str(int(time.time()))
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": signature(SECRET, "msg_1", stamp, b"{}"),
    }
    assert verify(SECRET, headers, b"{}", time.time()) == ""
    assert accepts(SECRET, headers, b"{}")
    text = "0123456789abcdef0123"  # not base64 after whsec_, but as it is
    assert accepts(text, {**headers, "webhook-signature": signature(text, "msg_1", stamp, b"{}")}, b"{}")
    assert not accepts(SECRET, headers, b"{ }")
    assert not accepts(SECRET, {**headers, "webhook-id": "msg_2"}, b"{}")
    assert not accepts(SECRET, {**headers, "webhook-timestamp": str(int(stamp) - 600)}, b"{}")
    assert not accepts("whsec_b3RoZXI=", headers, b"{}")


def test_the_documentation_names_every_state_that_a_webhook_tells() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/channels.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| `state` \|(.*)\|$", page, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == [state.name.lower() for state in Headline]


@pytest.mark.parametrize(
    ("status", "retry_after", "permanent", "waits"),
    [(429, 7, False, 7), (429, None, False, 5), (503, 9, False, 9), (500, None, False, None), (410, None, True, None)],
)
async def test_an_answer_says_whether_to_try_again(
    stack: AsyncExitStack,
    status: int,
    retry_after: int | None,
    permanent: bool,  # noqa: FBT001 -- a table
    waits: int | None,
) -> None:
    peer = await stack.enter_async_context(hook())
    peer.faults.next("status", status=status, retry_after=retry_after)
    with pytest.raises(DeliveryError) as error:
        await WebhookNotifier({"audit": (poster(peer.url, stack), SECRET)}).deliver(FIRING, "audit", None, "a")
    assert error.value.permanent is permanent
    assert error.value.retry_after == (None if waits is None else timedelta(seconds=waits))
    assert peer.url not in str(error.value)


async def test_a_card_says_the_outcome_in_words_and_interprets_nothing(stack: AsyncExitStack) -> None:
    peer = await stack.enter_async_context(teams())
    nasty = replace(FIXED, title="[click](http://evil) <at>everyone</at> **bold**", summary="x\u202ey")
    await tell(TeamsNotifier({"oncall": poster(peer.url, stack)}), "oncall", nasty)
    (card,) = peer.cards
    first = card["body"][0]["inlines"][0]
    assert first["text"].startswith("🟢 Fixed in 3m12s · [click](http://evil)")
    assert first["color"] == "good"
    assert {one["type"] for one in card["body"]} == {"RichTextBlock"}, "elements that interpret Markdown"
    assert "\u202e" not in str(card)


async def test_a_slack_webhook_posts_states_at_slacks_pace(slack: SlackPeer, stack: AsyncExitStack) -> None:
    slack.posts = Rate(1, 0.1)
    notifier = SlackWebhookNotifier({"alerts": poster(slack.webhook_url, stack)}, post_every=0.25)
    await tell(notifier, "alerts", *LIFE)
    assert (len(slack.messages), slack.limited) == (4, 0)
    assert not any("actions" in str(message.blocks) for message in slack.messages)


async def test_a_slack_webhook_that_was_taken_away_is_given_up_and_not_shown(
    slack: SlackPeer, stack: AsyncExitStack
) -> None:
    url = slack.webhook_url + "gone"
    with pytest.raises(DeliveryError, match=r"notify.any.place answered 404") as error:
        await SlackWebhookNotifier({"alerts": poster(url, stack)}).deliver(FIRING, "alerts", None, "a")
    assert error.value.permanent
    assert "secret" not in str(error.value)


async def test_mail_is_one_thread_an_incident_and_says_the_outcome_in_its_subject(stack: AsyncExitStack) -> None:
    box = await stack.enter_async_context(mail_server())
    notifier = MailNotifier(Mailer("127.0.0.1", box.port, tls="none"), "responder@corp.example")
    await tell(notifier, "ana@corp.example", *LIFE)
    first, *others = box.mails
    words = [str(one["Subject"]).split(" · ")[0].split(",")[0] for one in others]
    assert words == ["🟠 Fixing", "🟢 Fixed in 3m12s", "✅ Resolved after 7m"]
    assert len(box.mails) == 4
    assert {one["References"] for one in others} == {first["Message-ID"]} == {one["In-Reply-To"] for one in others}
    assert len({one["Message-ID"] for one in box.mails}) == 4
    assert first["Auto-Submitted"] == "auto-generated"
    await notifier.deliver(FIRING, "ana@corp.example", None, "a")
    assert box.mails[-1]["Message-ID"] == first["Message-ID"], "a repetition is known as one"


async def test_final_states_only_when_that_is_asked_for(stack: AsyncExitStack) -> None:
    box = await stack.enter_async_context(mail_server())
    mailer = Mailer("127.0.0.1", box.port, tls="none")
    await tell(MailNotifier(mailer, "responder@corp.example", final_only=True), "ana@corp.example", *LIFE, ROLLED_BACK)
    assert [one["Subject"].split()[1].rstrip(",") for one in box.mails] == ["Fixed", "Resolved", "Rolled"]


@pytest.mark.parametrize(("answer", "permanent"), [("451 4.7.1 greylisted", False), ("554 5.7.1 spam", True)])
async def test_a_mail_servers_reply_says_whether_to_try_again(
    stack: AsyncExitStack,
    answer: str,
    permanent: bool,  # noqa: FBT001 -- a table
) -> None:
    box = await stack.enter_async_context(mail_server())
    box.answers.append(answer)
    notifier = MailNotifier(Mailer("127.0.0.1", box.port, tls="none"), "responder@corp.example")
    with pytest.raises(DeliveryError, match=answer.split()[2]) as error:
        await notifier.deliver(FIRING, "ana@corp.example", None, "a")
    assert (error.value.permanent, error.value.uncertain) == (permanent, False)


async def test_who_takes_no_mail_and_what_is_no_address_are_given_up(stack: AsyncExitStack) -> None:
    box = await stack.enter_async_context(mail_server())
    notifier = MailNotifier(Mailer("127.0.0.1", box.port, tls="none"), "responder@corp.example")
    for address, said in {"nobody@corp.example": "no such user", "a\r\nBcc: b@c.example": "no e-mail address"}.items():
        with pytest.raises(DeliveryError, match=said) as error:
            await notifier.deliver(FIRING, address, None, "a")
        assert error.value.permanent
    assert box.mails == []


async def test_a_mail_server_without_encryption_is_sent_no_mail_where_it_is_asked_for(stack: AsyncExitStack) -> None:
    box = await stack.enter_async_context(mail_server())
    notifier = MailNotifier(Mailer("127.0.0.1", box.port), "responder@corp.example")
    with pytest.raises(DeliveryError, match="STARTTLS") as error:
        await notifier.deliver(FIRING, "ana@corp.example", None, "a")
    assert error.value.permanent
    with pytest.raises(DeliveryError, match="cannot be reached") as refused:
        await MailNotifier(Mailer("127.0.0.1", 9), "r@corp.example").deliver(FIRING, "a@b.example", None, "a")
    assert not refused.value.uncertain
    assert smtplib.SMTP_PORT == 25


async def test_what_apprise_cannot_deliver_or_does_not_know_is_an_error_without_its_url() -> None:
    for url, permanent in {"nosuch://secret-word@host": True, "json://secret-word@127.0.0.1:9/": False}.items():
        with pytest.raises(DeliveryError, match=r"notify.apprise.any") as error:
            await AppriseService("notify.apprise.any", url).send("t", "b")
        assert error.value.permanent is permanent
        assert "secret-word" not in str(error.value)


@pytest.mark.parametrize(
    "notifier", [WebhookNotifier({}), TeamsNotifier({}), SlackWebhookNotifier({})], ids=lambda one: str(one.kind)
)
async def test_a_name_that_is_not_configured_is_named(notifier: Notifier) -> None:
    with pytest.raises(DeliveryError, match=rf"notify.{notifier.kind} has no 'nowhere'") as error:
        await notifier.deliver(FIRING, "nowhere", None, "a")
    assert error.value.permanent


async def test_a_peer_that_hangs_may_have_taken_it(stack: AsyncExitStack) -> None:
    peer = await stack.enter_async_context(hook(HookPeer()))
    peer.faults.next("hang")
    slow = poster(peer.url, stack, timedelta(seconds=0.2))
    with pytest.raises(DeliveryError, match="did not answer") as error:
        await WebhookNotifier({"audit": (slow, SECRET)}).deliver(FIRING, "audit", None, "a")
    assert error.value.uncertain
