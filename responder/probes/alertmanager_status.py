"""``alertmanager.status``: how many alerts Alertmanager shows, and as what; its silences and its cluster."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from responder.language.matchers import parse_matcher
from responder.ports.action import Permission
from responder.ports.probe import Probe, Reading
from responder.ports.tools import Tools

Figure = Literal["active", "silenced", "inhibited", "silences", "peers"]


class AlertmanagerStatus(Probe):
    """Read a figure of an Alertmanager (a source with `api_url`): alerts that are active, silenced or inhibited by it.

    Silences that are alive, or the members of its cluster, can be counted, too.
    """

    name: ClassVar[str] = "alertmanager.status"
    permissions: ClassVar[tuple[Permission, ...]] = ()
    example: ClassVar[str] = """\
probe: alertmanager.status
with:
  source: alertmanager
  read: active
  matchers:
    - severity="critical"
at_most: 5
"""

    source: str = Field(min_length=1, description="which Alertmanager: a name in `sources` with an `api_url`")
    read: Figure = Field(default="active", description="what is counted")
    matchers: tuple[str, ...] = Field(default=(), description="only the alerts that match; as in Alertmanager")

    @field_validator("matchers")
    @classmethod
    def _readable(cls, texts: Sequence[str]) -> Sequence[str]:
        for text in texts:
            parse_matcher(text)
        return texts

    async def look(self, labels: Mapping[str, str], tools: Tools) -> Reading:
        """Count; none is 0."""
        alertmanager = tools.alertmanager(self.source)
        if self.read == "peers":
            return Reading((float(await alertmanager.peers()),))
        if self.read == "silences":
            return Reading((float(sum(one.alive for one in await alertmanager.silences())),))
        counts = await alertmanager.counts([str(parse_matcher(text)) for text in self.matchers])
        return Reading((float(counts.get(self.read, 0)),))
