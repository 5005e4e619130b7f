"""What the actions share whose target has nothing but its values to go by: they are read, set once, and put back."""

from abc import abstractmethod
from typing import ClassVar, Literal

from pydantic import JsonValue

from responder.domain.errors import Drifted, Moved, StepError, Uncertain
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Snapshot, landed_by_value
from responder.ports.tools import Tools


class ValueAction(Action):
    """Base: nothing at the target refuses what comes late or twice, so in doubt nothing is repeated."""

    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "none"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "value"

    @abstractmethod
    async def seen(self, target: str, tools: Tools) -> JsonValue:
        """Read the owned fields; raises Temporary or Permanent."""

    @abstractmethod
    async def put(self, target: str, image: JsonValue, tools: Tools) -> None:
        """Make the owned fields those of ``image``, by one change."""

    @abstractmethod
    def said(self, image: JsonValue) -> str:
        """Return how it is, as a sentence without its end: "the size is 40"."""

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the owned fields."""
        return Snapshot(await self.seen(target, tools))

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Set them once, if they still are as they were seen: what somebody else has set since is not ours."""
        now = await self.seen(target, tools)
        if now != record.before:
            raise Moved(f"{self.said(now)} by now")
        await self.put(target, record.planned, tools)
        return record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Compare what is there with what was before and should be after."""
        return landed_by_value(record, direction, await self.seen(target, tools), record.before)

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Put the old values back, unless somebody else has set others since."""
        now = await self.seen(target, tools)
        if now == record.before:
            return
        if now != record.observed:
            raise Drifted(f"{self.said(now)} by now, and after our change {self.said(record.observed)}")
        await self.put(target, record.before, tools)
        try:
            now = await self.seen(target, tools)
        except StepError as error:
            raise Uncertain(f"the undo was sent, and what came of it cannot be seen: {error}") from error
        if now != record.before:
            raise Uncertain(f"the undo was sent, and {self.said(now)}")
