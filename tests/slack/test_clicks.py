"""Buttons pressed in Slack, over both ways, against the responder as it is composed: what the target's ledger says."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bed.slack_clicks import ClickingSlack
from tests.bed.target_peer import Target
from tests.slack.conftest import Office, office, playbook_text

ASKS = playbook_text(mode="approve")
PATIENT = playbook_text(verify="equals: 99", within="5m")
BOTH = pytest.mark.parametrize("way", ["https", "socket"])


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "https"))


@pytest.fixture
async def asking(tmp_path: Path, clicking: ClickingSlack, target: Target, way: str) -> AsyncIterator[Office]:
    async with office(tmp_path, clicking, target, ASKS, way=way) as one:
        yield one


@pytest.mark.promise(17)
@BOTH
async def test_a_yes_in_slack_lets_the_run_go_on_and_undo_takes_it_back(asking: Office) -> None:
    await asking.fire()
    message = await asking.button("Approve")
    dialog = asking.slack.buttons(message)["Approve"]["confirm"]
    assert "workers: 4 → 6" in dialog["text"]["text"]
    old = asking.slack.pressing(message, "Approve")
    assert "You approved" in await asking.press(message, "Approve")
    await asking.run("verified")
    assert asking.workers == [6]

    assert "approved by ana at 20" in await asking.send(old), "a click on what the message no longer shows"
    message = await asking.button("Undo")
    assert "workers: 6 → 4" in asking.slack.buttons(message)["Undo"]["confirm"]["text"]["text"]
    old = asking.slack.pressing(message, "Undo", "U0ANA")
    assert "Undoing run" in await asking.press(message, "Undo", "U0BEN")
    await asking.run("rolled_back", kind="rollback")
    assert asking.workers == [6, 4]
    assert "ben pressed first at 20" in await asking.send(old)
    assert asking.workers == [6, 4]
    told = await asking.thread("nothing done for ana: ben pressed first")
    assert "ana pressed Approve" in told
    assert "ben pressed Undo" in told
    pressed = await asking.audit("button.pressed", "run.approved", "run.rollback_asked")
    assert [(who, what) for who, what, _ in pressed] == [
        ("ana", "button.pressed"), ("ana", "run.approved"), ("ana", "button.pressed"),
        ("ben", "button.pressed"), ("ben", "run.rollback_asked"), ("ana", "button.pressed"),
    ]  # fmt: skip


@pytest.mark.promise(17)
@BOTH
async def test_who_may_not_is_told_so_and_a_no_changes_nothing(asking: Office) -> None:
    await asking.fire()
    message = await asking.button("Reject")
    assert "does not know who you are" in await asking.press(message, "Approve", "U0WHO")
    assert "guest (viewer) may not answer" in await asking.press(message, "Approve", "U0GUEST")
    assert "pia (viewer) may not answer" in await asking.press(message, "Approve", "U0PAY"), "another team's"
    assert "You rejected" in await asking.press(message, "Reject", "U0BEN")
    await asking.run("skipped", "cancelled")
    assert asking.workers == []
    refused = await asking.audit("button.refused", "run.rejected")
    assert [(who, what) for who, what, _ in refused] == [
        ("slack:U0WHO", "button.refused"), ("guest", "button.refused"), ("pia", "button.refused"),
        ("ben", "run.rejected"),
    ]  # fmt: skip
    assert "nothing done for slack:U0WHO" in await asking.thread("ben pressed Reject")


@pytest.mark.promise(17)
async def test_the_same_request_a_second_time_does_nothing_and_says_so(asking: Office) -> None:
    await asking.fire()
    message = await asking.button("Approve")
    press = asking.slack.request(asking.slack.pressing(message, "Approve"))
    first = await asking.slack.call(asking.url, *press)
    again = await asking.slack.call(asking.url, *press)
    assert (first.status, again.status) == (200, 409)
    assert "had arrived before" in again.text
    payload = asking.slack.pressing(message, "Approve", "U0BEN")
    await asking.slack.through_socket(payload, envelope_id="one")
    await asking.slack.through_socket(payload, envelope_id="one")
    await asking.run("verified")
    assert asking.workers == [6]
    assert [who for who, _, _ in await asking.audit("button.pressed")] == ["ana", "ben"]


async def test_what_slack_has_not_signed_just_now_is_refused(asking: Office) -> None:
    await asking.fire()
    message = await asking.button("Approve")
    path, body, headers = asking.slack.request(asking.slack.pressing(message, "Approve"))
    stamp = str(int(headers["X-Slack-Request-Timestamp"]) - 301)
    wrong = [
        {**headers, "X-Slack-Signature": headers["X-Slack-Signature"][:-1] + "x"},
        {**headers, "X-Slack-Signature": ""},
        {**headers, "X-Slack-Request-Timestamp": stamp},
        {**headers, "X-Slack-Request-Timestamp": "now"},
        {"Content-Type": headers["Content-Type"]},
    ]
    for one in wrong:
        assert (await asking.slack.call(asking.url, path, body, one)).status == 401
    assert (await asking.slack.call(asking.url, path, body + b"&x=1", headers)).status == 401
    assert len([name for name, _ in asking.facts if name == "access_refused"]) == len(wrong) + 1
    assert await asking.audit("button.pressed") == []
    assert (await asking.run("awaiting_approval"))["effects"] == 0


@BOTH
async def test_of_two_who_stop_a_run_at_once_one_wins_and_the_other_hears_who_and_when(
    tmp_path: Path, clicking: ClickingSlack, target: Target, way: str
) -> None:
    async with office(tmp_path, clicking, target, PATIENT, way=way) as one:
        await one.fire()
        await one.run("verifying")
        message = await one.button("Stop")
        assert "workers: 6 → 4" in await _dialog_of(one, "Stop")
        said = await asyncio.gather(one.press(message, "Stop", "U0ANA"), one.press(message, "Stop", "U0BEN"))
        winner, loser = sorted(said, key=lambda text: "Nothing was done" in text)
        assert "stops" in winner
        assert ("ana stopped it at 20" in loser) or ("ben stopped it at 20" in loser), loser
        await one.run("rolled_back", "cancelled")
        assert one.workers == [6, 4]


async def _dialog_of(one: Office, label: str) -> str:
    """Return what the dialog shows once the change has been made."""
    for _ in range(200):
        text = str(one.slack.buttons(await one.button(label))[label]["confirm"]["text"]["text"])
        if "→" in text:
            return text
        await asyncio.sleep(0.05)
    return ""


@pytest.mark.promise(17)
async def test_two_people_must_say_yes_and_one_person_is_one_wherever_they_say_it(
    tmp_path: Path, clicking: ClickingSlack, target: Target
) -> None:
    rules = 'approval: { from: [ "slack:@sre", "user:ana" ], four_eyes: true }'
    async with office(tmp_path, clicking, target, playbook_text(mode="approve", tail=rules)) as one:
        await one.fire()
        message = await one.button("Approve")
        assert "the first of two" in await one.press(message, "Approve", "U0ANA")
        message = await one.button("Approve as second")
        assert "ana has said yes already" in await one.press(message, "Approve as second", "U0ANA")
        assert one.workers == []
        assert "You approved" in await one.press(message, "Approve as second", "U0BEN")
        await one.run("verified")
        assert one.workers == [6]


async def test_whoever_is_called_takes_over_in_slack(tmp_path: Path, clicking: ClickingSlack, target: Target) -> None:
    target.fault("422")
    async with office(tmp_path, clicking, target, playbook_text()) as one:
        await one.fire()
        message = await one.button("Ack")
        assert "viewer here; this takes operator" in await one.press(message, "Ack", "U0GUEST")
        old = one.slack.pressing(message, "Ack")
        value = json.loads(old["actions"][0]["value"])
        old["actions"][0]["value"] = json.dumps({**value, "revision": "of another reason"})
        assert "showed has changed since" in await one.send(old)
        assert "taken this incident over" in await one.press(message, "Ack", "U0ANA")
        assert "ana took it over at 20" in await one.press(message, "Ack", "U0BEN")
        assert "acknowledged by ana" in await one.thread("ana pressed Ack")


async def test_an_answer_goes_to_slack_and_nowhere_else(asking: Office, target: Target) -> None:
    await asking.fire()
    payload = asking.slack.pressing(await asking.button("Approve"), "Approve")
    seen = len(target.ledger.entries)
    payload["response_url"] = f"{target.url}/admin/workers"
    assert (await asking.deliver(payload)).status == 200
    await asking.run("verified")
    assert [one.method for one in target.ledger.entries[seen:]] == ["PUT"], "the run's own change"
    assert "slack_reply_failed" in [name for name, _ in asking.facts]
