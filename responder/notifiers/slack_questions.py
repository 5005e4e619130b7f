"""Questions that have messages of their own: one for each run, in the incident's thread and in the channel."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from responder.clients.slack import Seen, SlackClient
from responder.domain.errors import DeliveryError
from responder.domain.notification import Notification, Question
from responder.domain.targets import SEPARATOR
from responder.notifiers.slack_blocks import question

NAMED = 2
"""How many of the last names of a target a link to its question has."""
QUESTION_EVENT = "responder_question"


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a question stands: its ``ts``, its URL, and what stands for what it shows."""

    ts: str
    link: str
    shown: str

    def written(self) -> dict[str, JsonValue]:
        """Return it as the receipt keeps it."""
        return {"ts": self.ts, "link": self.link, "shown": self.shown}


def read_asked(written: object) -> dict[str, Asked]:
    """Read what ``written`` wrote, by the runs' ids; what is not that is left out."""
    found = {}
    for key, one in written.items() if isinstance(written, Mapping) else ():
        if isinstance(one, Mapping) and isinstance(one.get("ts"), str):
            found[str(key)] = Asked(str(one["ts"]), str(one.get("link") or ""), str(one.get("shown") or ""))
    return found


def asked_in(replies: Sequence[Seen]) -> dict[str, Asked]:
    """Return the questions that a thread holds, though no receipt says so."""
    return {
        str(one.payload["run"]): Asked(one.ts, "", "")
        for one in replies
        if one.event_type == QUESTION_EVENT and one.payload.get("run")
    }


def links_of(news: Notification, asked: Mapping[str, Asked]) -> Sequence[tuple[str, str]]:
    """Return (words, URL) of the questions that wait for an answer."""
    waiting = [one for one in news.questions if one.pending and one.run in asked]
    return [(words_of(one), asked[one.run].link) for one in waiting if asked[one.run].link]


def words_of(one: Question) -> str:
    """Return what leads to a question: the end of its target says which one it is, and must not be cut off."""
    what, _, target = one.title.rpartition(" · ")
    return f"{SEPARATOR.join(target.split(SEPARATOR)[-NAMED:])} · {what}"


class Asking:
    """Posts and edits the questions under one incident's message; ``asked`` is how far it has come."""

    def __init__(
        self,
        client: SlackClient,
        channel: str,
        parent: str,
        asked: Mapping[str, Asked],
        *,
        pressable: bool,
        space: Callable[[str], Awaitable[None]],
    ) -> None:
        """``parent`` is the incident's message; ``space`` waits until the channel takes another post."""
        self._client = client
        self._channel = channel
        self._parent = parent
        self._pressable = pressable
        self._space = space
        self._back = ""
        self.asked = dict(asked)

    async def tell(self, news: Notification) -> None:
        """Bring each question to how it stands now; raises DeliveryError."""
        for one in news.questions:
            text, blocks = question(one, news, pressable=self._pressable, back="")
            shown = _digest(repr((text, blocks)))
            known = self.asked.get(one.run)
            if known is not None and known.shown == shown and known.link:
                continue
            if known is None and not one.pending:
                continue  # answered before anybody saw it: the thread tells of it
            text, blocks = question(one, news, pressable=self._pressable, back=await self._incident())
            ts = await self._edited(known, text, blocks) if known is not None else ""
            if not ts and not one.pending:
                del self.asked[one.run]
                continue
            ts = ts or await self._posted(one, text, blocks)
            link = known.link if known is not None and known.ts == ts and known.link else await self._link(ts)
            self.asked[one.run] = Asked(ts, link, shown)

    async def _edited(self, known: Asked, text: str, blocks: Sequence[Mapping[str, object]]) -> str:
        try:
            await self._client.update(self._channel, known.ts, text, blocks)
        except DeliveryError as error:
            if not error.gone:
                raise
            return ""
        return known.ts

    async def _posted(self, one: Question, text: str, blocks: Sequence[Mapping[str, object]]) -> str:
        event = {"event_type": QUESTION_EVENT, "event_payload": {"run": one.run}}
        await self._space(self._channel)
        _, ts = await self._client.post(self._channel, text, blocks, event, self._parent, broadcast=True)
        self.asked[one.run] = Asked(ts, "", "")
        return ts

    async def _incident(self) -> str:
        self._back = self._back or await self._link(self._parent)
        return self._back

    async def _link(self, ts: str) -> str:
        """Return the URL of a message; without one the question stands in the channel all the same."""
        try:
            return await self._client.permalink(self._channel, ts)
        except DeliveryError as error:
            if error.permanent:
                return ""
            raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
