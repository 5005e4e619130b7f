"""The desk: takes what was asked in Slack, once, whichever way it came; answers at once and says later how it went.

A click is taken up in the store before Slack is told that it was: `docs/decisions/0026`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from responder.domain.errors import StoreError
from responder.domain.notification import PRESS_REFUSED, PRESSED
from responder.ports.audit import Audit
from responder.web.parts import Parts, Refused
from responder.web.slack.clicks import press
from responder.web.slack.commands import obey
from responder.web.slack.payloads import Command, Pressed
from responder.web.slack.people import name_of

ANSWER_SECONDS = 2.0
"""Slack waits three seconds (docs.slack.dev, handling user interaction); the rest is for the way."""
DRAIN_SECONDS = 5.0
T = TypeVar("T")
Reply = Callable[[str, str], Coroutine[object, None, None]]
"""Says something to one user: the URL that Slack gave for it, and the text. Never raises."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: as a status of HTTP, and in words for whoever asked.

    ``committed`` says that it is in the store, with everything that follows from it: Slack may be told so.
    """

    status: int
    text: str

    @property
    def committed(self) -> bool:
        """Whether it is safe to say that it arrived."""
        return self.status < 500  # noqa: PLR2004 - the 5xx class


def _wall() -> datetime:
    return datetime.now(UTC)


_LATE = Outcome(503, "The store has not answered yet. How it went is told here when it has.")


class Desk:
    """Where both ways meet. ``drain`` waits for what is under way."""

    def __init__(
        self, parts: Parts, reply: Reply, answer_seconds: float = ANSWER_SECONDS, wall: Callable[[], datetime] = _wall
    ) -> None:
        """``reply`` tells a user how it went; ``wall`` is the clock that Slack's is compared with, not the store's."""
        self.parts = parts
        self.wall = wall
        self._reply = reply
        self._answer_seconds = answer_seconds
        self._tasks: set[asyncio.Task[object]] = set()

    async def take(self, asked: Pressed | Command, once: str, way: str) -> Outcome:
        """Take up a request and return what became of it within the time that Slack gives.

        ``once`` names the request: an equal one does nothing. The answer to a click is told apart, and so is what takes
        longer; a command's is the outcome's text.
        """
        work = self._begin(self._work(asked, once, way))
        done, _ = await asyncio.wait({work}, timeout=self._answer_seconds)
        if not done:
            self._begin(self._tell_later(asked, work))
            return _LATE
        outcome = work.result()
        if isinstance(asked, Pressed) and asked.reply_to:
            self._begin(self._reply(asked.reply_to, outcome.text))
        return outcome

    async def drain(self) -> None:
        """Wait until everything that was taken up is done and told, for a few seconds."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=DRAIN_SECONDS)
        for task in set(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _begin(self, work: Coroutine[object, None, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _tell_later(self, asked: Pressed | Command, work: "asyncio.Task[Outcome]") -> None:
        outcome = await work
        if asked.reply_to:
            await self._reply(asked.reply_to, outcome.text)

    async def _work(self, asked: Pressed | Command, once: str, way: str) -> Outcome:
        try:
            outcome, result = await self._once(asked, once, way)
        except StoreError as error:
            text = "Nobody can tell whether this was done: the store did not answer. Look before you ask again."
            outcome, result = Outcome(503, text), f"store: {error}"
        except Exception as error:  # noqa: BLE001 - a fault of ours is logged, the user learns that there was one
            outcome, result = Outcome(500, "Not done: internal error; the responder's log says more."), repr(error)
        outcome = replace(outcome, text=str(self.parts.mask(outcome.text)))
        what = str(asked.press) if isinstance(asked, Pressed) else "command"
        name = name_of(self.parts, asked.user)
        self.parts.on_fact("slack_asked", what=what, way=way, actor=name, status=outcome.status, result=result)
        return outcome

    async def _once(self, asked: Pressed | Command, once: str, way: str) -> tuple[Outcome, str]:
        incident = asked.incident if isinstance(asked, Pressed) else ""
        name = name_of(self.parts, asked.user)
        details = {**_described(asked), "user": asked.user[:30], "way": way}
        subject = incident or "slack"
        if not await self.parts.people.pressed(once, Audit(PRESSED, subject, name, details), incident):
            return Outcome(409, "This very request had arrived before; nothing was done again."), "replayed"
        try:
            said = await (press(self.parts, asked) if isinstance(asked, Pressed) else obey(self.parts, asked))
        except Refused as refused:
            why = refused.error + (f"; {refused.hint}" if refused.hint else "")
            refusal = Audit(PRESS_REFUSED, subject, name, {**details, "why": refused.error})
            await self.parts.people.press_refused(refusal, incident)
            return Outcome(200, f"✖ Nothing was done: {why}."), f"refused: {refused.error}"
        return Outcome(200, said), "done"


def _described(asked: Pressed | Command) -> dict[str, str]:
    if isinstance(asked, Command):
        return {"button": f"/responder {asked.text[:200]}".strip()}
    return {"button": asked.press.value.capitalize(), "run": asked.run, "revision": asked.revision[:64]}
