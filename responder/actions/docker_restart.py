"""``docker.restart``: restart a container."""

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from responder.domain.errors import Moved, Permanent
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.inputs import connection_name
from responder.ports.tools import Tools

CONTAINER = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
"""Names of containers, as the engine allows them."""
LONGEST_STOP = 6
"""Seconds: an effect has nine for everything (engine.md), and its answer comes when the container runs again."""


class DockerRestart(Action):
    """Restart a container of the engine of the target, if it still runs as it did when planned.

    The engine refuses no restart that comes twice, so none is repeated: where it is not to be seen that it happened, a
    person is asked, and `mode: auto` needs `accept: unfenced`.
    """

    name: ClassVar[str] = "docker.restart"
    effect: ClassVar[Literal["state", "event"]] = "event"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "none"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "impossible"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("docker", "containers", ("GET /containers/*/json", "POST /containers/*/restart")),
    )
    reach: ClassVar[str] = "docker"
    example: ClassVar[str] = """\
docker.restart:
  container: "{{ labels.name }}"
undo: none
"""

    container: str = Field(pattern=CONTAINER, description="its name, one of the connection's `containers`")
    stop_within: int = Field(default=5, ge=0, le=LONGEST_STOP, description="seconds until it is stopped by force")

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read since when it runs."""
        return Snapshot(await self._seen(target, tools))

    async def _seen(self, target: str, tools: Tools) -> dict[str, JsonValue]:
        found = await tools.docker(connection_name(target)).inspect(self.container)
        state = found.get("State")
        if not isinstance(state, dict):
            raise Permanent(f"the engine does not say how {self.container} is")
        return {"id": found.get("Id"), "started_at": state.get("StartedAt")}

    def change(self, before: JsonValue) -> JsonValue:
        """Return that what runs now is replaced."""
        return {"replaced": before["started_at"]} if isinstance(before, dict) else None

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Restart it, unless somebody has meanwhile."""
        if await self._seen(target, tools) != record.before:
            raise Moved(f"{self.container} has been started anew since")
        await tools.docker(connection_name(target)).restart(self.container, self.stop_within)
        return record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Look whether it was started anew."""
        return Landed.NO if await self._seen(target, tools) == record.before else Landed.YES

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Say that it cannot be undone."""
        raise Permanent("what was restarted cannot be put back")

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: it has happened, whatever has become of the container since."""
        return False
