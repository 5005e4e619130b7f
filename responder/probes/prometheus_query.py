"""``prometheus.query``: what an instant query gives; ``query:`` is its shorthand."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools


class PrometheusQuery(Probe):
    """Evaluate an instant PromQL expression on the Prometheus that answers for the alert."""

    name: ClassVar[str] = "prometheus.query"
    example: ClassVar[str] = """\
name: error rate
query: job:errors:ratio2m{namespace="shop"}
below: 1%
"""

    query: str = Field(description="an instant PromQL expression")

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Return one value for each series."""
        found = await tools.prometheus(labels).query(self.query)
        return Reading(tuple(series.value for series in found))

    def queries(self) -> tuple[str, ...]:
        """Return the expression."""
        return (self.query,)
