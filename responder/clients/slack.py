"""Slack's Web API: one request a call, every failure said in terms of what to do next."""

import hashlib
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from responder.clients.pace import PATIENCE_SECONDS, LocalPace, await_turn
from responder.domain.errors import DeliveryError
from responder.ports.pace import Beat, Pace

if TYPE_CHECKING:  # loaded on first use: a `responder` without Slack does not pay for it
    import aiohttp
    from slack_sdk.web.async_client import AsyncWebClient
    from slack_sdk.web.async_slack_response import AsyncSlackResponse

Json = Mapping[str, Any]

GONE = frozenset({"message_not_found", "edit_window_closed", "cant_update_message"})
"""Answers of chat.update after which only a new message helps (docs.slack.dev, chat.update)."""
PERMANENT = frozenset(
    {
        "channel_not_found",
        "file_not_found",
        "file_update_failed",
        "file_uploads_disabled",
        "file_uploads_except_images_disabled",
        "invalid_arguments",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_metadata_format",
        "invalid_metadata_schema",
        "is_archived",
        "metadata_too_large",
        "missing_scope",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "not_in_channel",
        "restricted_action",
        "thread_not_found",
        "unknown_method",
    }
)
"""Answers that the same call would get again; a wrong or revoked token is not among them: it may be put right."""
UNCERTAIN = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
"""Answers after which the call may nevertheless have done its work (docs.slack.dev, chat.postMessage, errors)."""
HINTS = {
    "channel_not_found": "check the name, or invite the app to the private channel",
    "invalid_auth": "check notify.slack.token and app_token",
    "not_allowed_token_type": "an app_token begins with xapp- and has the scope connections:write",
    "missing_scope": "the app needs chat:write, channels:history to recognise its own messages, files:write for charts",
    "not_in_channel": "invite the app to the channel",
}
LIST_PAGES, LIST_LIMIT = 10, 500
HISTORY_LIMIT = 200
OK, TOO_MANY, SERVER_ERROR = 200, 429, 500
DEFAULT_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(minutes=15)
POSTS = Beat(1.05)
"""One message a second and channel, a little less for the way there (docs.slack.dev, rate limits, special tier)."""
TIER_3 = Beat(1.25, burst=2)
"""At most 50 calls of one method in any minute, over all channels (docs.slack.dev, rate limits, Tier 3)."""
TIER_2 = Beat(3.4, burst=2)
"""At most 20 calls of one method in any minute (the same, Tier 2)."""
TIER_4 = Beat(0.65, burst=2)
"""At most 100 calls of one method in any minute (the same, Tier 4)."""
READ_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as history shows it: its ``ts`` and its metadata's payload."""

    ts: str
    event_type: str = ""
    payload: Json = field(default_factory=dict)


class SlackClient:
    """A bot's token and one connection pool. Every method raises DeliveryError."""

    def __init__(
        self,
        token: str,
        *,
        api_url: str = "https://slack.com/api/",
        timeout: timedelta = timedelta(seconds=10),
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        """``timeout`` bounds one call with everything in it; nothing is sent twice in here.

        ``pace`` is who else calls with this token; none given: nobody.
        """
        self._token = token
        self._pace = pace or LocalPace()
        self._app = f"slack:{hashlib.sha256(token.encode()).hexdigest()[:12]}"
        self._ids: dict[str, str] = {}
        self._looked_up_to: dict[str, tuple[str, int]] = {}
        self._api_url = api_url
        self._timeout = timeout.total_seconds()
        self._tls = tls
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._web: AsyncWebClient | None = None

    def warm(self) -> None:
        """Load the library: on first use, with an incident at hand, that would hold up everything for a second."""
        import slack_sdk.errors
        import slack_sdk.web.async_client  # noqa: F401 - for the sake of having it

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    async def post(
        self,
        channel: str,
        text: str,
        blocks: Sequence[Json],
        metadata: Json,
        thread_ts: str | None = None,
        *,
        broadcast: bool = False,
    ) -> tuple[str, str]:
        """Post a message, or a reply to ``thread_ts``; returns the channel's id and the message's ts.

        With ``broadcast`` a reply stands in the channel as well.
        """
        key = f"post:{self._ids.get(channel, channel)}"
        reply = await self._paced(
            key,
            POSTS,
            lambda web: web.chat_postMessage(
                channel=channel,
                text=text,
                blocks=[dict(block) for block in blocks],
                metadata=dict(metadata),
                thread_ts=thread_ts,
                reply_broadcast=True if broadcast and thread_ts else None,
                mrkdwn=False,
                unfurl_links=False,
                unfurl_media=False,
            ),
        )
        channel_id = str(reply["channel"])
        if self._ids.get(channel) != channel_id:
            # Posts by name and by id are the same channel's.
            self._ids |= {channel: channel_id, channel_id: channel_id}
            await self._pace.rest(f"{self._app}:post:{channel_id}", POSTS.every)
        return channel_id, str(reply["ts"])

    async def update(self, channel_id: str, ts: str, text: str, blocks: Sequence[Json]) -> None:
        """Edit a message of ours."""
        await self._paced(
            "chat.update",
            TIER_3,
            lambda web: web.chat_update(channel=channel_id, ts=ts, text=text, blocks=[dict(block) for block in blocks]),
        )

    async def upload(self, filename: str, data: bytes, words: str) -> str:
        """Hand over a file, which nobody sees yet; returns its id. ``words`` say what it shows to who cannot see it.

        What is never shared, Slack throws away (docs.slack.dev, files.completeUploadExternal).
        """
        reply = await self._paced(
            "files.getUploadURLExternal",
            TIER_4,
            lambda web: web.files_getUploadURLExternal(filename=filename, length=len(data), alt_txt=words),
        )
        url, file_id = str(reply.get("upload_url") or ""), str(reply.get("file_id") or "")
        if not url or not file_id:
            raise DeliveryError("not an answer of Slack's: no upload_url, or no file_id", permanent=True)
        await self._put(url, data)
        return file_id

    async def share(self, file_id: str, title: str, channel_id: str, thread_ts: str) -> None:
        """Show an uploaded file in a thread: Slack takes that once for each file."""
        await self._paced(
            f"post:{channel_id}",
            POSTS,
            lambda web: web.files_completeUploadExternal(
                files=[{"id": file_id, "title": title}], channel_id=channel_id, thread_ts=thread_ts
            ),
        )

    async def permalink(self, channel_id: str, ts: str) -> str:
        """Return the URL of a message."""
        reply = await self._call(lambda web: web.chat_getPermalink(channel=channel_id, message_ts=ts))
        return str(reply.get("permalink") or "")

    async def history(self, channel_id: str, cursor: str = "") -> tuple[Sequence[Seen], str]:
        """Return a page of a channel's messages, newest first, and the cursor of the next."""
        reply = await self._paced(
            "conversations.history",
            TIER_3,
            lambda web: web.conversations_history(
                channel=channel_id, cursor=cursor or None, limit=HISTORY_LIMIT, include_all_metadata=True
            ),
            READ_PATIENCE,
        )
        return _seen(reply), _cursor(reply)

    async def replies(self, channel_id: str, ts: str) -> Sequence[Seen]:
        """Return the latest replies of a thread, oldest first."""
        reply = await self._paced(
            "conversations.replies",
            TIER_3,
            lambda web: web.conversations_replies(
                channel=channel_id, ts=ts, limit=HISTORY_LIMIT, include_all_metadata=True
            ),
            READ_PATIENCE,
        )
        return _seen(reply)

    async def channel_id(self, name: str) -> str | None:
        """Return the id of the channel called ``name`` (without ``#``), None when the app does not see it.

        The list is paced, and may be too long for one try: the next one goes on where this one had to stop.
        """
        cursor, first = self._looked_up_to.pop(name, ("", 0))
        for pages in range(first, LIST_PAGES):
            page = cursor or None
            try:
                reply = await self._paced(
                    "conversations.list",
                    TIER_2,
                    lambda web, page=page: web.conversations_list(  # type: ignore[misc] # a default binds the loop's value
                        cursor=page, limit=LIST_LIMIT, exclude_archived=True, types="public_channel,private_channel"
                    ),
                    READ_PATIENCE,
                )
            except DeliveryError as error:
                if error.retry_after is not None:
                    self._looked_up_to[name] = cursor, pages
                raise
            for one in reply.get("channels") or ():
                if one.get("name") == name:
                    return str(one.get("id"))
            cursor = _cursor(reply)
            if not cursor:
                return None
        return None

    async def open_connection(self, app_token: str) -> str:
        """Return a fresh address for Socket Mode; the app-level token is another one than the bot's."""
        reply = await self._call(lambda web: web.apps_connections_open(app_token=app_token))
        return str(reply.get("url") or "")

    def _open(self) -> "AsyncWebClient":
        if self._web is None:
            import aiohttp
            from slack_sdk.web.async_client import AsyncWebClient

            from responder.clients.sessions import new_session

            self._session = new_session(aiohttp.ClientTimeout(total=self._timeout), limit=32)
            self._web = AsyncWebClient(
                self._token, base_url=self._api_url, ssl=self._tls, session=self._session, retry_handlers=[]
            )
            # The constructor falls back to the environment's proxy; ours is the configured one or none.
            self._web.proxy = self._proxy
        return self._web

    async def _paced(
        self,
        key: str,
        beat: Beat,
        send: "Callable[[AsyncWebClient], Awaitable[AsyncSlackResponse]]",
        patience: float = PATIENCE_SECONDS,
    ) -> Json:
        """Send when it is its turn; what Slack asks for when it was too much, everybody keeps to."""
        key = f"{self._app}:{key}"
        await await_turn(self._pace, key, beat, patience)
        try:
            return await self._call(send)
        except DeliveryError as error:
            if error.retry_after is not None:
                await self._pace.rest(key, error.retry_after.total_seconds())
            raise

    async def _put(self, url: str, data: bytes) -> None:
        """Send bytes to where Slack wants them; the token stays here."""
        import aiohttp

        from responder.clients.sessions import plainly

        self._open()
        assert self._session is not None  # noqa: S101 - just opened
        try:
            sent = self._session.post(url, data=data, ssl=self._tls or True, proxy=self._proxy, allow_redirects=False)
            async with sent as answer:
                status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryError(f"Slack did not take the file: {plainly(error)}") from error
        if status != OK:
            raise DeliveryError(f"Slack did not take the file: it answered {status}")

    async def _call(self, send: "Callable[[AsyncWebClient], Awaitable[AsyncSlackResponse]]") -> Json:
        """Send once and return the answer's fields."""
        import aiohttp
        from slack_sdk.errors import SlackApiError, SlackClientError

        from responder.clients.sessions import plainly

        try:
            reply = await send(self._open())
        except SlackApiError as error:
            raise _refused(error.response) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise DeliveryError(f"Slack cannot be reached: {plainly(error)}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise DeliveryError(f"Slack did not answer: {plainly(error)}", uncertain=True) from error
        except (SlackClientError, AttributeError, ValueError) as error:
            # What answered was not Slack: the library trips over a body that is not its JSON.
            raise DeliveryError(f"not an answer of Slack's: {plainly(error)}", uncertain=True) from error
        return reply.data if isinstance(reply.data, dict) else {}


def _refused(response: Any) -> DeliveryError:  # noqa: ANN401 - the library hands over its own or aiohttp's response
    """Translate a refusal: how long to wait, whether it may have worked, whether it makes sense to try again."""
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)
    if status == TOO_MANY:
        return DeliveryError("Slack asks to slow down", retry_after=_retry_after(response))
    data = getattr(response, "data", None)
    code = str(data.get("error") or "") if isinstance(data, dict) else ""
    if status >= SERVER_ERROR or not code:
        return DeliveryError(f"Slack answered {status}", uncertain=True)
    if code == "ratelimited":
        return DeliveryError("Slack asks to slow down", retry_after=_retry_after(response))
    message = f"Slack refused: {code}{f' ({HINTS[code]})' if code in HINTS else ''}"
    return DeliveryError(message, permanent=code in PERMANENT, gone=code in GONE, uncertain=code in UNCERTAIN)


def _retry_after(response: Any) -> timedelta:  # noqa: ANN401 - as above
    header = str((getattr(response, "headers", None) or {}).get("Retry-After", ""))
    return min(timedelta(seconds=int(header)), LONGEST_RETRY) if header.isdecimal() else DEFAULT_RETRY


def _seen(reply: Json) -> Sequence[Seen]:
    found = []
    for one in reply.get("messages") or ():
        metadata = one.get("metadata") or {}
        found.append(Seen(str(one.get("ts")), str(metadata.get("event_type", "")), metadata.get("event_payload") or {}))
    return found


def _cursor(reply: Json) -> str:
    return str((reply.get("response_metadata") or {}).get("next_cursor") or "")
