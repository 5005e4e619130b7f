"""``command.run``: run a command that the configuration names, and what undoes it."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.domain.errors import Permanent
from responder.domain.records import Direction, Record
from responder.language.commands import Job
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.hosts import Ended
from responder.ports.inputs import connection_name
from responder.ports.tools import Tools

LANDED: Mapping[Ended, Landed] = {
    "done": Landed.YES,
    "nothing": Landed.YES,
    "no": Landed.NO,
    "never": Landed.NEVER,
    "running": Landed.RUNNING,
    "unknown": Landed.UNKNOWN,
}
"""What an outcome says of a forward effect."""


class CommandRun(Action):
    """Run one of the configuration's commands on the host of the target; its own `undo` command undoes it.

    It is run once for each record, whose key it finds in `RESPONDER_RECORD`. A responder that dies meanwhile does not
    end it: what came of it is written down beside, and read later.
    """

    name: ClassVar[str] = "command.run"
    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "key"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "compensates"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    permissions: ClassVar[tuple[Permission, ...]] = (Permission("host", "commands", ("run",)),)
    reach: ClassVar[str] = "host"
    goes_on: ClassVar[bool] = True
    example: ClassVar[str] = """\
command.run:
  command: restart-worker
  with:
    unit: "{{ labels.unit }}"
"""

    command: str = Field(description="which of the configuration's `commands`")
    values: Mapping[str, str | int] = Field(
        default={}, alias="with", description="its parameters; each stays one argument, or a part of one"
    )

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Put the values in; nothing is asked of the machine but which one it is."""
        host = tools.host(connection_name(target))
        note = "" if host.undoable(self.command) else "it cannot be undone"
        return Snapshot({"to_run": [*self._job(target, "do", tools).argv]}, await host.place(), note)

    def change(self, before: JsonValue) -> JsonValue:
        """Return what will have been run."""
        return {"ran": before["to_run"]} if isinstance(before, Mapping) else None

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Run it once, if it is still what was planned."""
        job = self._job(target, "do", tools)
        if self.change({"to_run": [*job.argv]}) != record.planned:
            raise Permanent(f"the command {self.command} is another one by now than when it was planned")
        changed = await tools.host(connection_name(target)).run(job, record.key("do"), record.fence)
        return record.planned if changed else {"ran": [*job.argv], "nothing_to_do": True}

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Read what became of it; where nobody has written that down, its `landed` command is asked."""
        job = self._job(target, direction, tools)
        ended = await tools.host(connection_name(target)).outcome(job, record.key(direction), record.fence)
        # An undo is not planned anew: the same key is used again, and it may be.
        return Landed.NO if direction == "undo" and ended == "never" else LANDED[ended]

    async def ending(self, target: str, record: Record, direction: Direction, tools: Tools) -> str:
        """Read how it ended, and what it said."""
        job = self._job(target, direction, tools)
        return await tools.host(connection_name(target)).told(job, record.key(direction), record.fence)

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Run the undo once, unless there had been nothing to do."""
        host = tools.host(connection_name(target))
        if await host.outcome(self._job(target, "do", tools), record.key("do"), record.fence) == "nothing":
            return
        await host.run(self._job(target, "undo", tools), record.key("undo"), record.fence)

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: what a command changes is its own business, and so is whether its undo still makes sense."""
        return False

    def _job(self, target: str, direction: Direction, tools: Tools) -> Job:
        values = {name: str(value) for name, value in self.values.items()}
        return tools.host(connection_name(target)).job(self.command, values, direction)
