"""``postgres.terminate_idle``: end sessions that do nothing, and those that do nothing within a transaction."""

from typing import ClassVar

from pydantic import Field, model_validator

from responder.actions.postgres_sessions import COLUMNS, SPARED, TOUCHABLE, PostgresSessions
from responder.ports.inputs import DurationText, seconds

_SEARCH = f"""\
SELECT {COLUMNS.format(since="state_change")}
{TOUCHABLE} AND (
  (a.state = 'idle' AND a.state_change < pg_catalog.clock_timestamp() - make_interval(secs => $2))
  OR (a.state LIKE 'idle in transaction%'
    AND a.state_change < pg_catalog.clock_timestamp() - make_interval(secs => $3)))"""
_NEVER = 1e9
"""Seconds that no session lasts."""


class PostgresTerminateIdle(PostgresSessions):
    """End sessions of this database that have been idle for long; never superusers', replication's, dumps' or ours."""

    name: ClassVar[str] = "postgres.terminate_idle"
    example: ClassVar[str] = """\
postgres.terminate_idle:
  in_transaction: 5m
  application: "shop-*"
  max: 20
"""

    idle: DurationText | None = Field(default=None, description="how long without a statement, outside a transaction")
    in_transaction: DurationText | None = Field(
        default=None, description="how long without a statement, within a transaction"
    )

    @model_validator(mode="after")
    def _one(self) -> "PostgresTerminateIdle":
        if self.idle is None and self.in_transaction is None:
            msg = "give idle, in_transaction or both"
            raise ValueError(msg)
        return self

    def search(self) -> tuple[str, *tuple[object, ...]]:
        """Return the statement that finds them, and its values."""
        idle = _NEVER if self.idle is None else seconds(self.idle)
        within = _NEVER if self.in_transaction is None else seconds(self.in_transaction)
        return (_SEARCH, SPARED, idle, within)

    def nobody(self) -> str:
        """Say that there is none."""
        return "no session that may be ended has been idle for so long"
