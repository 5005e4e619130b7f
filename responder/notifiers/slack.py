"""Slack: one message per incident, edited in place; what happened goes into its thread, each thing once."""

import asyncio
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from responder.clients.slack import SlackClient
from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Receipt
from responder.notifiers.slack_blocks import Block, blocks, fallback, thread
from responder.notifiers.slack_digest import linked, linked_blocks
from responder.notifiers.slack_questions import Asked, Asking, asked_in, links_of, read_asked
from responder.ports.notifier import PartlyDelivered

INCIDENT_EVENT, ENTRIES_EVENT = "responder_incident", "responder_entries"
POST_EVERY = 1.1
"""Seconds between two posts in one channel: Slack takes about one a second (docs.slack.dev, rate limits)."""
THREAD_SECONDS = 8.0
"""How long the reply may take; the message itself is told by then."""
HISTORY_PAGES = 5
REMEMBERED = 10_000
_CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{6,}")


@dataclass(frozen=True, slots=True)
class _Message:
    """Where the message stands, and which entries its thread has."""

    channel: str
    ts: str
    posted: frozenset[str]
    asked: Mapping[str, Asked] = field(default_factory=dict)

    def receipt(self) -> Receipt:
        asked: dict[str, JsonValue] = {key: one.written() for key, one in self.asked.items()}
        told: dict[str, JsonValue] = {"channel": self.channel, "ts": self.ts, "posted": [*sorted(self.posted)]}
        return {**told, "asked": asked} if asked else told


class SlackNotifier:
    """Posts, edits and finds the app's own messages."""

    kind = "slack"

    def __init__(
        self, client: SlackClient, *, post_every: float = POST_EVERY, pressable: bool = False, mention: str = ""
    ) -> None:
        """``client`` carries the token; ``post_every`` is the least number of seconds between posts in a channel.

        ``pressable`` puts buttons on messages: somebody must hear of it when one is pressed. ``mention`` is who is
        called when a person is needed, in Slack's writing, such as ``<!subteam^S0123>``.
        """
        self._client = client
        self._mention = mention
        self._pressable = pressable
        self._post_every = post_every
        self._free_at: dict[str, float] = {}
        self._ids: dict[str, str] = {}
        self._sure: dict[str, None] = {}

    async def deliver(self, notification: Notification, address: str, receipt: Receipt | None, attempt: str) -> Receipt:
        """Post or edit the message, then put what is new into its thread."""
        known = _read(receipt) if receipt is not None else None
        text, body = fallback(notification), self._blocks(notification, known.asked if known else {})
        if known is None:
            event = {"incident": notification.incident_id, "attempt": attempt}
            await self._space(address)
            channel, ts = await self._client.post(
                address, text, body, {"event_type": INCIDENT_EVENT, "event_payload": event}
            )
            self._remember_channel(address, channel)
            self._posted(channel)
            self._make_sure(ts)
            message = _Message(channel, ts, frozenset())
        else:
            message = known
            await self._client.update(message.channel, message.ts, text, body)
        # An edit notifies nobody: whoever is needed is called in the thread, unless the post has just done it.
        mention = self._mention if known is not None else ""
        message = await self._below(notification, message, mention)
        again = self._blocks(notification, message.asked)
        if again != body:
            await self._linked(message, text, again)
        return message.receipt()

    def _blocks(self, news: Notification, asked: Mapping[str, Asked]) -> Sequence[Block]:
        if linked(news):
            return linked_blocks(news)
        mention = self._mention if news.page else ""
        return blocks(news, pressable=self._pressable, mention=mention, asked=links_of(news, asked))

    async def _linked(self, message: _Message, text: str, body: Sequence[Block]) -> None:
        """Link the questions that were put just now; what comes of that must not lose what was told."""
        try:
            await self._client.update(message.channel, message.ts, text, body)
        except DeliveryError as error:
            raise PartlyDelivered(str(error), message.receipt(), retry_after=error.retry_after) from error

    async def find(self, address: str, attempt: str) -> Receipt | None:
        """Look through the channel's latest messages for the one that carries ``attempt``."""
        try:
            channel = await self._channel(address)
            return await self._found(channel, attempt) if channel else None
        except DeliveryError as error:
            if error.permanent:
                return None  # without the right to read nobody can tell
            raise

    async def _found(self, channel: str, attempt: str) -> Receipt | None:
        cursor = ""
        for _ in range(HISTORY_PAGES):
            seen, cursor = await self._client.history(channel, cursor)
            for one in seen:
                if one.event_type == INCIDENT_EVENT and one.payload.get("attempt") == attempt:
                    return _Message(channel, one.ts, frozenset()).receipt()
            if not cursor:
                return None
        return None

    async def _below(self, news: Notification, message: _Message, mention: str) -> _Message:
        """Put the questions and whatever the thread does not have below the message."""
        digests = {_digest(entry.key): entry for entry in news.entries}
        open_ = {one.run for one in news.questions}
        kept = {key: one for key, one in message.asked.items() if key in open_}
        message = replace(message, posted=message.posted & digests.keys(), asked=kept)
        if digests.keys() <= message.posted and not open_:
            return message
        asking: Asking | None = None
        try:
            async with asyncio.timeout(THREAD_SECONDS):
                message = await self._reconciled(message, digests.keys(), open_)
                if open_:
                    asking = Asking(
                        self._client, message.channel, message.ts, message.asked,
                        pressable=self._pressable, space=self._space,
                    )  # fmt: skip
                    await asking.tell(news)
                    message = replace(message, asked=asking.asked)
                new = [entry for digest, entry in digests.items() if digest not in message.posted]
                for reply in thread(new, mention):
                    await self._space(message.channel)
                    keys = [_digest(key) for key in reply.keys]
                    event = {"event_type": ENTRIES_EVENT, "event_payload": {"entries": keys}}
                    await self._client.post(message.channel, reply.text, reply.blocks, event, message.ts)
                    self._posted(message.channel)
                    message = replace(message, posted=message.posted | set(keys))
        except TimeoutError as error:
            self._sure.pop(message.ts, None)
            told = _with(message, asking).receipt()
            raise PartlyDelivered("the thread took too long", told, uncertain=True) from error
        except DeliveryError as error:
            if error.uncertain:
                self._sure.pop(message.ts, None)
            message = _with(message, asking)
            if not error.permanent:
                raise PartlyDelivered(
                    str(error), message.receipt(), retry_after=error.retry_after, uncertain=error.uncertain
                ) from error
            # A thread that takes no replies must not keep the message itself from being told.
        return replace(message, posted=frozenset(digests))

    async def _reconciled(self, message: _Message, wanted: Collection[str], runs: Collection[str]) -> _Message:
        """Add what is in the thread though the receipt does not say so: after a lost reply, or a crash."""
        if message.ts in self._sure:
            return message
        try:
            replies = await self._client.replies(message.channel, message.ts)
        except DeliveryError as error:
            if error.permanent or error.retry_after is not None:
                return message  # rather an entry twice than a message late
            raise
        told = {
            str(digest)
            for one in replies
            if one.event_type == ENTRIES_EVENT
            for digest in one.payload.get("entries") or ()
        }
        self._make_sure(message.ts)
        found = {key: one for key, one in asked_in(replies).items() if key in runs}
        return replace(message, posted=message.posted | (told & set(wanted)), asked={**found, **message.asked})

    def _make_sure(self, ts: str) -> None:
        """Remember that the receipt of ``ts`` says all that its thread has, as far as this process knows."""
        self._sure[ts] = None
        if len(self._sure) > REMEMBERED:
            del self._sure[next(iter(self._sure))]

    def _remember_channel(self, address: str, channel: str) -> None:
        self._ids[address] = channel
        self._free_at[channel] = self._free_at.get(address, 0.0)

    async def _channel(self, address: str) -> str | None:
        if _CHANNEL_ID.fullmatch(address):
            return address
        if address not in self._ids:
            found = await self._client.channel_id(address.removeprefix("#"))
            if found is None:
                return None
            self._ids[address] = found
        return self._ids[address]

    def _posted(self, channel: str) -> None:
        """Count the pace from when the post was answered: on its way it may have lost the time that it was ahead."""
        free_at = asyncio.get_running_loop().time() + self._post_every
        self._free_at[channel] = max(free_at, self._free_at.get(channel, 0.0))

    async def _space(self, channel: str) -> None:
        """Wait until the channel takes another post."""
        now = asyncio.get_running_loop().time()
        free_at = max(now, self._free_at.get(self._ids.get(channel, channel), 0.0))
        self._free_at[self._ids.get(channel, channel)] = free_at + self._post_every
        if free_at > now:
            await asyncio.sleep(free_at - now)


def _with(message: _Message, asking: Asking | None) -> _Message:
    """Return how far it has come."""
    return message if asking is None else replace(message, asked=asking.asked)


def _read(receipt: Receipt) -> _Message:
    """Read a receipt of ours; what is not one belongs to no message that could be edited."""
    channel, ts, posted = receipt.get("channel"), receipt.get("ts"), receipt.get("posted")
    if not isinstance(channel, str) or not isinstance(ts, str):
        raise DeliveryError("the receipt names no message", gone=True)
    entries = frozenset(str(one) for one in posted) if isinstance(posted, list) else frozenset()
    return _Message(channel, ts, entries, read_asked(receipt.get("asked")))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()[:12]
