"""``docker.update``: change the memory or the processors that a container may use, and put the old limits back."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from responder.domain.errors import Drifted, Moved, Permanent, Uncertain
from responder.domain.records import Direction, Record
from responder.ports.action import Action, Landed, Permission, Snapshot, landed_by_value
from responder.ports.inputs import connection_name
from responder.ports.tools import Tools

_AMOUNT = re.compile(r"([1-9][0-9]{0,14})(b|k|m|g)?")
_UNITS = {None: 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
"""As `docker update` reads them."""
NANO = 10**9


class DockerUpdate(Action):
    """Change the limits of a running container, by the engine's update of its resources.

    A limit can be changed and not be made: the engine takes a 0 as nothing said, so one where there was none could not
    be taken back. The engine refuses no update that comes late; in doubt none is repeated.
    """

    name: ClassVar[str] = "docker.update"
    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "none"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "value"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("docker", "containers", ("GET /containers/*/json", "POST /containers/*/update")),
    )
    reach: ClassVar[str] = "docker"
    example: ClassVar[str] = """\
docker.update:
  container: shop-worker
  memory: 768m
"""

    container: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$", description="its name, one of the connection's `containers`"
    )
    memory: str | None = Field(default=None, description="how much memory, such as 512m or 2g; swap grows along")
    cpus: float | None = Field(default=None, gt=0, le=1024, description="how many processors, such as 1.5")

    @field_validator("memory")
    @classmethod
    def _amount(cls, text: str | None) -> str | None:
        if text is not None and not _AMOUNT.fullmatch(text.lower()):
            msg = f"{text!r} is no amount of memory: write it like 512m or 2g"
            raise ValueError(msg)
        return text

    @model_validator(mode="after")
    def _something(self) -> "DockerUpdate":
        if self.memory is None and self.cpus is None:
            msg = "give memory, cpus or both"
            raise ValueError(msg)
        return self

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Read the limits that are to be changed."""
        return Snapshot(await self._seen(target, tools))

    async def _seen(self, target: str, tools: Tools) -> dict[str, JsonValue]:
        found = await tools.docker(connection_name(target)).inspect(self.container)
        config = found.get("HostConfig")
        if not isinstance(config, dict):
            raise Permanent(f"the engine does not say which limits {self.container} has")
        names = (*(("Memory", "MemorySwap") if self.memory else ()), *(("NanoCpus",) if self.cpus else ()))
        return {name: config.get(name, 0) for name in names}

    def change(self, before: JsonValue) -> JsonValue:
        """Return the limits as they will be; raises ValueError where there is none yet."""
        limits = dict(before) if isinstance(before, Mapping) else {}
        for name in ("Memory", "NanoCpus"):
            if name in limits and not limits[name]:
                msg = f"{self.container} has no limit of {name}: one could be set, and not be taken away again"
                raise ValueError(msg)
        if self.memory is not None:
            amount = _AMOUNT.fullmatch(self.memory.lower())
            wanted = int(amount[1]) * _UNITS[amount[2]] if amount else 0
            memory, swap = limits["Memory"], limits["MemorySwap"]
            if isinstance(swap, int) and isinstance(memory, int) and swap > 0:
                limits["MemorySwap"] = wanted + swap - memory  # it counts both, and must not be less than the memory
            limits["Memory"] = wanted
        if self.cpus is not None:
            limits["NanoCpus"] = round(self.cpus * NANO)
        return limits

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Set the limits once, if they still are as they were seen."""
        now = await self._seen(target, tools)
        if now == record.planned:
            return now
        if now != record.before:
            raise Moved(f"the limits of {self.container} are {now} by now")
        await self._set(target, record.planned, tools)
        return record.planned

    async def _set(self, target: str, limits: JsonValue, tools: Tools) -> None:
        if not isinstance(limits, Mapping):
            raise Permanent("the record holds no limits")
        await tools.docker(connection_name(target)).update(self.container, limits)

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Compare the limits with what they were and should have become."""
        return landed_by_value(record, direction, await self._seen(target, tools), record.before)

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """Set the old limits again, unless somebody else has set others since."""
        now = await self._seen(target, tools)
        if now == record.before:
            return
        if now != record.observed:
            raise Drifted(f"the limits of {self.container} are {now}, and were set to {record.observed}")
        await self._set(target, record.before, tools)
        if await self._seen(target, tools) != record.before:
            raise Uncertain("the undo was sent, and the limits are not as they were")
