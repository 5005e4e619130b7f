"""``redis.persistence``: whether Redis still gets its data to the disk."""

import time
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools


class RedisPersistence(Probe):
    """Read how well what is kept gets to the disk: the last saves, their age, and what has changed since."""

    name: ClassVar[str] = "redis.persistence"
    example: ClassVar[str] = """\
name: snapshots succeed
probe: redis.persistence
with: { connection: cache, figure: last_save_ok }
equals: true
"""

    connection: str = Field(description='a name under connections.redis, or "{{ connection }}"')
    figure: Literal["last_save_ok", "last_save_age", "changes_since_save", "append_ok"] = Field(
        default="last_save_ok", description="what to read; the age is in seconds, append_ok is of the append-only file"
    )

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the figure."""
        reply = await tools.redis(self.connection).read("INFO", "persistence")
        info = dict(line.partition(":")[::2] for line in str(reply).splitlines() if ":" in line)
        if self.figure == "last_save_age":
            return Reading((max(0.0, time.time() - float(info["rdb_last_save_time"])),))
        if self.figure == "changes_since_save":
            return Reading((float(info["rdb_changes_since_last_save"]),))
        if self.figure == "append_ok" and info.get("aof_enabled") != "1":
            return Reading((), "the append-only file is off")
        status = "rdb_last_bgsave_status" if self.figure == "last_save_ok" else "aof_last_write_status"
        return Reading((info[status] == "ok",))
