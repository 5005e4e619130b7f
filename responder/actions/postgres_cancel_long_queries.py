"""``postgres.cancel_long_queries``: end statements that run for long, and leave their sessions."""

from typing import ClassVar

from pydantic import Field

from responder.actions.postgres_sessions import COLUMNS, SPARED, TOUCHABLE, PostgresSessions
from responder.ports.inputs import DurationText, seconds

_SEARCH = f"""\
SELECT {COLUMNS.format(since="query_start")}
{TOUCHABLE} AND a.state = 'active'
  AND a.query_start < pg_catalog.clock_timestamp() - make_interval(secs => $2)"""


class PostgresCancelLongQueries(PostgresSessions):
    """Cancel statements that have run for long; their sessions stay, and their transactions are rolled back."""

    name: ClassVar[str] = "postgres.cancel_long_queries"
    example: ClassVar[str] = """\
postgres.cancel_long_queries:
  longer_than: 10m
  user: "reporting"
  max: 5
"""

    longer_than: DurationText = Field(description="how long they have run, such as 10m")

    @property
    def cancels(self) -> bool:
        """Whether the statement is ended and the session is left."""
        return True

    def search(self) -> tuple[str, *tuple[object, ...]]:
        """Return the statement that finds them, and its values."""
        return (_SEARCH, SPARED, seconds(self.longer_than))

    def nobody(self) -> str:
        """Say that there is none."""
        return f"no statement that may be cancelled has run for {self.longer_than}"
