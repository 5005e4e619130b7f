"""``postgres.pool``: how a database of PgBouncer stands."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from responder.domain.errors import Permanent
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools


class PostgresPool(Probe):
    """Read one figure of a database on PgBouncer's console.

    `servers`: connections to PostgreSQL; none are left when a pause has taken hold and the last transaction has ended.
    `waiting`: clients that wait for one. `paused`: 1 or 0.
    """

    name: ClassVar[str] = "postgres.pool"
    example: ClassVar[str] = """\
name: nobody is connected any more
probe: postgres.pool
with: { connection: main, database: shop, read: servers }
equals: 0
within: 30s
"""

    connection: str = Field(description='a name under connections.pgbouncer, or "{{ connection }}"')
    database: str = Field(min_length=1, description="its name, as clients and PgBouncer's file call it")
    read: Literal["servers", "waiting", "paused"] = Field(default="servers", description="which figure")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return the figure, over all users."""
        pooler = tools.pooler(self.connection)
        rows = [row for row in await pooler.read("SHOW DATABASES") if row.get("name") == self.database]
        if not rows:
            raise Permanent(f"{self.connection}: this PgBouncer has no database {self.database}")
        if self.read == "waiting":
            pools = [row for row in await pooler.read("SHOW POOLS") if row.get("database") == self.database]
            return Reading((float(sum(int(row["cl_waiting"]) for row in pools)),))
        return Reading((float(rows[0]["current_connections" if self.read == "servers" else "paused"]),))
