"""``systemd.restart``: restart a unit of systemd, once."""

from typing import ClassVar, Literal

from pydantic import Field, JsonValue, field_validator

from responder.domain.errors import Moved, Permanent
from responder.domain.records import Direction, Record
from responder.language.commands import Codes, Job
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.hosts import Host
from responder.ports.inputs import DurationText, connection_name, seconds
from responder.ports.tools import Tools

PROPERTIES = ("LoadState", "ActiveState", "InvocationID")
"""systemctl(1), `show`: an invocation has an id of its own, which the next start replaces (systemd.exec(5))."""
CODES = Codes(failed=frozenset({4, 5}))
"""As systemctl(1) has them: 4 and 5 are no such unit, and not installed. After 1 it may be half done."""
LONGEST = 600.0
"""Seconds."""


class SystemdRestart(Action):
    """Restart a unit with `systemctl restart`, on the host of the target, if it still runs as it did when planned.

    Which units may be restarted is what the host's `units` says. That it was restarted shows in its invocation id.
    """

    name: ClassVar[str] = "systemd.restart"
    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "key"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("host", "systemd units", ("systemctl show", "systemctl restart")),
    )
    reach: ClassVar[str] = "host"
    goes_on: ClassVar[bool] = True
    example: ClassVar[str] = """\
systemd.restart:
  unit: "{{ labels.name }}"
undo: none
"""

    unit: str = Field(pattern=r"^[A-Za-z0-9:_.@\\-]{1,200}$", description="its name, such as worker.service")
    timeout: DurationText = Field(default="90s", description="how long it may take to stop and to start; at most 10m")

    @field_validator("unit")
    @classmethod
    def _no_option(cls, unit: str) -> str:
        if unit.startswith("-") or "." not in unit:
            msg = f"{unit!r} is not the name of a unit: write it with its kind, such as worker.service"
            raise ValueError(msg)
        return unit

    @field_validator("timeout")
    @classmethod
    def _bounded(cls, text: str) -> str:
        if not 0 < seconds(text) <= LONGEST:
            msg = f"{text} is not between 0 and 10m"
            raise ValueError(msg)
        return text

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read whether the unit runs, and as which invocation."""
        host = tools.host(connection_name(target))
        if not host.may_restart(self.unit):
            raise Permanent(f"{self.unit} is not among connections.host.{connection_name(target)}.units")
        return Snapshot(await self._seen(host), await host.place())

    async def _seen(self, host: Host) -> dict[str, JsonValue]:
        answer = await host.read(("systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", self.unit))
        if answer.code:
            raise Permanent(f"systemctl show ended with {answer.code}: {answer.text[:200].strip()}")
        found = dict(line.partition("=")[::2] for line in answer.text.splitlines())
        if found.get("LoadState") != "loaded":
            raise Permanent(f"{self.unit} is {found.get('LoadState') or 'unknown'} here")
        return {"state": found.get("ActiveState", ""), "invocation": found.get("InvocationID", "")}

    def change(self, before: JsonValue) -> JsonValue:
        """Return that what runs now is replaced."""
        return {"replaced": before["invocation"]} if isinstance(before, dict) else None

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Restart it, unless somebody has meanwhile."""
        host = tools.host(connection_name(target))
        if self.change(await self._seen(host)) != record.planned:
            raise Moved(f"{self.unit} has been restarted since, by somebody else or by itself")
        await host.run(self._job, record.key("do"), record.fence)
        return record.planned

    @property
    def _job(self) -> Job:
        return Job(("systemctl", "restart", "--", self.unit), seconds=seconds(self.timeout), codes=CODES)

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Read how systemctl ended; where nobody has seen that, look at the invocation."""
        host = tools.host(connection_name(target))
        match await host.outcome(self._job, record.key("do"), record.fence):
            case "done" | "nothing":
                return Landed.YES
            case "never":
                return Landed.NEVER
            case "running":
                return Landed.RUNNING
            case "no":
                return Landed.NO
            case "unknown":
                same = self.change(await self._seen(host)) == record.planned
                return Landed.UNKNOWN if same else Landed.YES

    async def ending(self, target: str, record: Record, direction: Direction, tools: Tools) -> str:
        """Read how systemctl ended, and what it said."""
        return await tools.host(connection_name(target)).told(self._job, record.key("do"), record.fence)

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Say that it cannot be undone."""
        raise Permanent("what was restarted cannot be put back")

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: it has happened, whatever has become of the unit since."""
        return False
