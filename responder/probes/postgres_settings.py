"""``postgres.settings``: what a parameter is set to."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

_LOOK = """\
SELECT reset_val AS value, vartype AS kind, coalesce(unit, '') AS unit, pending_restart
FROM pg_catalog.pg_settings WHERE name = $1"""


class PostgresSettings(Probe):
    """Read a parameter as the server has it, in its own unit; a number, on or off, or a text."""

    name: ClassVar[str] = "postgres.settings"
    example: ClassVar[str] = """\
name: room for sorting
probe: postgres.settings
with: { connection: main, parameter: work_mem }
equals: 65536
"""

    connection: str = Field(description='a name under connections.postgres, or "{{ connection }}"')
    parameter: str = Field(description="its name, such as work_mem")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the value; one that is not there, or cannot be seen, is no data."""
        rows = await tools.postgres(self.connection).read(_LOOK, self.parameter.lower())
        if not rows or rows[0]["value"] is None:
            return Reading((), f"there is no parameter {self.parameter}")
        row, value = rows[0], str(rows[0]["value"])
        note = f"in {row['unit']}" if row["unit"] else ""
        if row["kind"] == "bool":
            return Reading((value == "on",), note)
        return Reading((float(value) if row["kind"] in ("integer", "real") else value,), note)
