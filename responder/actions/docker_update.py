"""``docker.update``: change the memory or the processors that a container may use, and put the old limits back."""

import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, JsonValue, field_validator, model_validator

from responder.actions.by_value import ValueAction
from responder.domain.errors import Permanent
from responder.ports.action import Permission
from responder.ports.inputs import connection_name
from responder.ports.tools import Tools

_AMOUNT = re.compile(r"([1-9][0-9]{0,14})(b|k|m|g)?")
_UNITS = {None: 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
"""As `docker update` reads them."""
NANO = 10**9


class DockerUpdate(ValueAction):
    """Change the limits of a running container, by the engine's update of its resources.

    A limit can be changed and not be made: the engine takes a 0 as nothing said, so one where there was none could not
    be taken back. The engine refuses no update that comes late; in doubt none is repeated.
    """

    name: ClassVar[str] = "docker.update"
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

    async def seen(self, target: str, tools: Tools) -> JsonValue:
        """Read the limits that are to be changed."""
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

    async def put(self, target: str, image: JsonValue, tools: Tools) -> None:
        """Let the engine update the container."""
        if not isinstance(image, Mapping):
            raise Permanent("the record holds no limits")
        await tools.docker(connection_name(target)).update(self.container, image)

    def said(self, image: JsonValue) -> str:
        """Return which limits it has."""
        return f"the limits of {self.container} are {image}"
