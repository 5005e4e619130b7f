"""The stand-in for Slack enforces Slack's contract against the real client library."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from tests.bed.slack_limits import complaints
from tests.bed.slack_peer import SlackPeer, signed
from tests.bed.slack_peer import slack as serve
from tests.bed.web import JsonObject, Rate


def section(text: str) -> JsonObject:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


@pytest.fixture
async def peer() -> AsyncIterator[SlackPeer]:
    async with serve() as running:
        running.posts = Rate(None, 1)
        yield running


@pytest.fixture
def client(peer: SlackPeer) -> AsyncWebClient:
    return AsyncWebClient(token=peer.token, base_url=peer.api_url, timeout=2, retry_handlers=[])


async def error_of(call: object) -> str:
    assert asyncio.iscoroutine(call)
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


async def test_a_post_by_name_gives_the_channels_id_and_can_be_edited(peer: SlackPeer, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel="#alerts", text="first", blocks=[section("first")])
    assert posted["channel"] == "C0ALERTS"
    await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="second", blocks=[section("second")])
    (message,) = peer.in_channel("#alerts")
    assert message.text == "second"
    assert [before["text"] for before in message.history] == ["first"]
    assert await error_of(client.chat_update(channel="#alerts", ts=posted["ts"], text="x")) == "channel_not_found"


async def test_a_lost_post_is_found_by_its_metadata(client: AsyncWebClient) -> None:
    mark = {"event_type": "responder_incident", "event_payload": {"attempt": "a1"}}
    posted = await client.chat_postMessage(channel="C0ALERTS", text="marked", metadata=mark)
    history = await client.conversations_history(channel="C0ALERTS", include_all_metadata=True, limit=10)
    assert [(one["ts"], one["metadata"]) for one in history["messages"]] == [(posted["ts"], mark)]
    plain = await client.conversations_history(channel="C0ALERTS")
    assert "metadata" not in plain["messages"][0]


async def test_history_has_pages_newest_first_without_replies(client: AsyncWebClient) -> None:
    parent = (await client.chat_postMessage(channel="C0ALERTS", text="one"))["ts"]
    await client.chat_postMessage(channel="C0ALERTS", text="reply", thread_ts=parent)
    for text in ("two", "three"):
        await client.chat_postMessage(channel="C0ALERTS", text=text)
    first = await client.conversations_history(channel="C0ALERTS", limit=2)
    assert [one["text"] for one in first["messages"]] == ["three", "two"]
    cursor = first["response_metadata"]["next_cursor"]
    second = await client.conversations_history(channel="C0ALERTS", limit=2, cursor=cursor)
    assert [one["text"] for one in second["messages"]] == ["one"]
    assert not second["has_more"]
    later = await client.conversations_history(channel="C0ALERTS", oldest=parent)
    assert [one["text"] for one in later["messages"]] == ["three", "two"]
    thread = await client.conversations_replies(channel="C0ALERTS", ts=parent)
    assert [one["text"] for one in thread["messages"]] == ["one", "reply"]


async def test_one_message_a_second_and_channel(peer: SlackPeer, client: AsyncWebClient) -> None:
    peer.posts = Rate(1, 1.0)
    await client.chat_postMessage(channel="#alerts", text="one")
    await client.chat_postMessage(channel="#oncall", text="another channel has its own second")
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel="#alerts", text="two")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "1"
    assert peer.limited == 1
    assert len(peer.in_channel("alerts")) == 1


async def test_wrong_credentials_and_methods(peer: SlackPeer, client: AsyncWebClient) -> None:
    assert (await client.auth_test())["bot_id"]
    wrong = AsyncWebClient(token="xoxb-other", base_url=peer.api_url)
    assert await error_of(wrong.auth_test()) == "invalid_auth"
    assert await error_of(client.api_call("chat.shout")) == "unknown_method"
    peer.scopes.remove("channels:history")
    assert await error_of(client.conversations_history(channel="C0ALERTS")) == "missing_scope"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"text": ""}, "no_text"),
        ({"text": "x", "blocks": [section("x")] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("x" * 3001)]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("")]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("x" * 2900)] * 5}, "msg_blocks_too_long"),
        ({"text": "x", "blocks": [{"type": "wish"}]}, "invalid_blocks"),
        ({"text": "x", "metadata": {"event_type": "t"}}, "invalid_metadata_schema"),
        ({"text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
        ({"text": "x", "channel": "#nowhere"}, "channel_not_found"),
    ],
)
async def test_a_post_beyond_the_limits_is_refused(
    peer: SlackPeer, client: AsyncWebClient, message: JsonObject, error: str
) -> None:
    assert await error_of(client.api_call("chat.postMessage", json={"channel": "#alerts", **message})) == error
    assert (peer.messages, peer.calls) == ([], [])
    assert [call.error for call in peer.refused] == [error]


@pytest.mark.parametrize(
    ("button", "complaint"),
    [
        ({"text": {"type": "plain_text", "text": "x" * 76}}, "button: 76 characters, at most 75"),
        ({"text": {"type": "mrkdwn", "text": "x"}}, "button: type 'mrkdwn' is not allowed"),
        ({"text": {"type": "plain_text", "text": "x"}, "value": "x" * 2001}, "value longer than 2000"),
        ({"text": {"type": "plain_text", "text": "x"}, "style": "green"}, "style 'green'"),
    ],
)
def test_buttons_have_limits(button: JsonObject, complaint: str) -> None:
    assert complaints([{"type": "actions", "elements": [{"type": "button", **button}]}]) == [f"block 0: {complaint}"]


async def test_replies_go_to_the_parent_only(client: AsyncWebClient) -> None:
    parent = (await client.chat_postMessage(channel="#alerts", text="parent"))["ts"]
    reply = (await client.chat_postMessage(channel="#alerts", text="reply", thread_ts=parent))["ts"]
    deeper = client.chat_postMessage(channel="#alerts", text="deeper", thread_ts=reply)
    assert await error_of(deeper) == "cannot_reply_to_message"


async def test_edits_that_slack_refuses(peer: SlackPeer, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel="#alerts", text="mine")
    place = {"channel": posted["channel"], "ts": posted["ts"]}
    assert await error_of(client.chat_update(**place, text="x" * 4001)) == "msg_too_long"
    peer.edit_window_closed = True
    assert await error_of(client.chat_update(**place, text="x")) == "edit_window_closed"
    theirs = peer.say("#alerts", "theirs")
    assert await error_of(client.chat_update(channel="C0ALERTS", ts=theirs.ts, text="x")) == "cant_update_message"
    peer.delete(peer.in_channel("#alerts")[0])
    assert await error_of(client.chat_update(**place, text="x")) == "message_not_found"


async def test_a_whisper_is_in_no_history_and_cannot_be_edited(peer: SlackPeer, client: AsyncWebClient) -> None:
    whispered = await client.chat_postEphemeral(channel="C0ALERTS", user="U0PERSON", text="only you")
    assert [message.text for message in peer.whispers] == ["only you"]
    assert (await client.conversations_history(channel="C0ALERTS"))["messages"] == []
    assert await error_of(client.chat_update(channel="C0ALERTS", ts=whispered["message_ts"], text="x")) == (
        "message_not_found"
    )
    assert await error_of(client.chat_postEphemeral(channel="C0ALERTS", user="U0STRANGER", text="x")) == (
        "user_not_in_channel"
    )


async def test_joining_needs_a_scope_of_its_own(peer: SlackPeer, client: AsyncWebClient) -> None:
    assert await error_of(client.conversations_join(channel="C0ALERTS")) == "missing_scope"
    peer.scopes.add("channels:join")
    assert (await client.conversations_join(channel="C0ALERTS"))["channel"]["id"] == "C0ALERTS"


async def test_text_alone_removes_blocks_on_update(peer: SlackPeer, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel="#alerts", text="a", blocks=[section("a")])
    await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="b")
    assert peer.messages[0].blocks == []


async def test_the_edit_tier_is_limited(peer: SlackPeer, client: AsyncWebClient) -> None:
    peer.updates = Rate(1, 60)
    posted = await client.chat_postMessage(channel="#alerts", text="a")
    place = {"channel": posted["channel"], "ts": posted["ts"]}
    await client.chat_update(**place, text="b")
    assert await error_of(client.chat_update(**place, text="c")) == "ratelimited"


async def test_a_lost_reply_posts_and_a_hang_does_not(peer: SlackPeer, client: AsyncWebClient) -> None:
    peer.faults.next("lost_reply", on="chat.postMessage")
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="#alerts", text="arrived")
    peer.faults.next("hang")
    client.timeout = 0.1  # type: ignore[assignment]  # an int for the library, a number for aiohttp
    with pytest.raises(TimeoutError):
        await client.chat_postMessage(channel="#alerts", text="did not")
    peer.faults.next("status", status=500)
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel="#alerts", text="did not either")
    assert [message.text for message in peer.messages] == ["arrived"]


async def test_an_incoming_webhook_answers_ok_and_nothing_more(peer: SlackPeer) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(peer.webhook_url, json={"text": "hello"}) as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
        async with session.post(f"{peer.url}/services/T/B/wrong", json={"text": "hello"}) as answer:
            assert (answer.status, await answer.text()) == (404, "no_service")
        async with session.post(peer.webhook_url, json={"blocks": [section("")]}) as answer:
            assert (answer.status, await answer.text()) == (400, "invalid_blocks")
    assert [message.text for message in peer.in_channel("alerts")] == ["hello"]


def test_interactions_are_signed_as_slack_signs_them() -> None:
    assert SignatureVerifier("secret").is_valid_request(b"payload=%7B%7D", signed("secret", b"payload=%7B%7D"))


async def test_a_file_is_announced_filled_and_shared_once(peer: SlackPeer, client: AsyncWebClient) -> None:
    refused = client.files_getUploadURLExternal(filename="a.png", length=3)
    assert await error_of(refused) == "missing_scope"
    peer.scopes.add("files:write")
    posted = await client.chat_postMessage(channel="C0ALERTS", text="first")
    place = await client.files_getUploadURLExternal(filename="a.png", length=3, alt_txt="a chart")
    thread = {"channel_id": "C0ALERTS", "thread_ts": posted["ts"]}
    share = [{"id": place["file_id"], "title": "a"}]
    assert await error_of(client.files_completeUploadExternal(files=share, **thread)) == "file_not_found"
    async with aiohttp.ClientSession() as session:
        for body, status in ((b"too long", 400), (b"abc", 200)):
            async with session.post(place["upload_url"], data=body) as answer:
                assert answer.status == status
    await client.files_completeUploadExternal(files=share, **thread)
    assert await error_of(client.files_completeUploadExternal(files=share, **thread)) == "file_not_found"
    unknown = client.files_completeUploadExternal(files=[{"id": "F0NONE"}], **thread)
    assert await error_of(unknown) == "file_not_found"
    (_, reply) = peer.in_channel("#alerts")
    assert (reply.thread_ts, [one["name"] for one in reply.files]) == (posted["ts"], ["a.png"])
