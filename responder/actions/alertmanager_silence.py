"""``alertmanager.silence``: keep Alertmanager quiet about something for a time, and end that early."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, field_validator

from responder.domain.errors import Moved
from responder.domain.records import Direction, Record
from responder.domain.silences import comment_of, made_by
from responder.language.matchers import Matcher, parse_matcher
from responder.ports.action import Action, Landed, Permission, Snapshot
from responder.ports.inputs import DurationText, seconds
from responder.ports.silencing import Silence, Silencing, written
from responder.ports.tools import Tools

LONGEST = timedelta(hours=24)
"""A silence that is longer is a decision, and nobody's fix."""


class AlertmanagerSilence(Action):
    """Silence the alerts that match in Alertmanager, for a bounded time; undo ends the silence.

    It goes along with other steps: it changes nothing at their target, and any target will do. Its comment ends with
    the run and the record, by which it is known again. What it silences is still asked for: the run that made it goes
    on while the alert fires, and Alertmanager's API tells when it has ended. A send that came twice would silence the
    same until the same moment, and undo would end both.
    """

    name: ClassVar[str] = "alertmanager.silence"
    effect: ClassVar[Literal["state", "event"]] = "state"
    fence: ClassVar[Literal["precondition", "key", "session", "none"]] = "key"
    undoes: ClassVar[Literal["restores", "compensates", "impossible"]] = "restores"
    evidence: ClassVar[Literal["marker", "value"]] = "marker"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("alertmanager", "silences", ("GET /api/v2/silences", "POST /api/v2/silences")),
        Permission("alertmanager", "silences", ("DELETE /api/v2/silence/*",)),
    )
    example: ClassVar[str] = """\
alertmanager.silence:
  source: alertmanager
  matchers:
    - alertname="ReplicaLag"
    - cluster="{{ labels.cluster }}"
  for: 30m
  comment: the replica is being rebuilt
"""

    source: str = Field(min_length=1, description="in which Alertmanager: a name in `sources` with an `api_url`")
    matchers: tuple[str, ...] = Field(
        min_length=1, description='which alerts, as in Alertmanager; at least one says what a label is (`name="value"`)'
    )
    duration: DurationText = Field(alias="for", description="how long; at most 24h")
    comment: str = Field(default="", max_length=300, description="why, for people")

    @field_validator("duration")
    @classmethod
    def _bounded(cls, text: str) -> str:
        if not 0 < seconds(text) <= LONGEST.total_seconds():
            msg = f"{text} is not between 0 and 24h"
            raise ValueError(msg)
        return text

    @field_validator("matchers")
    @classmethod
    def _narrow(cls, texts: Sequence[str]) -> Sequence[str]:
        read = [parse_matcher(text) for text in texts]
        if not any(one.op == "=" and one.value for one in read):
            msg = 'this may silence everything: say at least of one label what it is, such as alertname="ReplicaLag"'
            raise ValueError(msg)
        return texts

    def _read(self) -> list[Matcher]:
        return [parse_matcher(text) for text in self.matchers]

    async def snapshot(self, target: str, tools: Tools) -> Snapshot:
        """Look whether exactly this is silenced already, by whomever."""
        return Snapshot({"silenced": bool(await self._alive(tools.alertmanager(self.source)))})

    async def _alive(self, alertmanager: Silencing) -> list[Silence]:
        wanted = written(self._read())
        return [one for one in await alertmanager.silences() if one.alive and one.matchers == wanted]

    def change(self, before: JsonValue) -> JsonValue:
        """Return that it is silenced."""
        del before
        return {"silenced": True}

    async def apply(self, target: str, record: Record, tools: Tools) -> JsonValue:
        """Begin the silence, unless this record has, or somebody else has meanwhile; its end counts from the record."""
        alertmanager, key = tools.alertmanager(self.source), record.key("do")
        for one in await self._alive(alertmanager):
            if made_by(one.comment, key):
                return record.planned
            raise Moved(f"somebody has silenced this meanwhile ({one.created_by or 'unnamed'})")
        ends_at = record.created_at + timedelta(seconds=seconds(self.duration))
        await alertmanager.silence(self._read(), ends_at, comment_of(self.comment, record.run_id, key))
        return record.planned

    async def landed(self, target: str, record: Record, direction: Direction, tools: Tools) -> Landed:
        """Look for the record's silence, and whether it has ended."""
        ours = await _made(record, tools.alertmanager(self.source))
        if direction == "do":
            return Landed.YES if ours else Landed.NO
        return Landed.NO if any(one.alive for one in ours) else Landed.YES

    async def undo(self, target: str, record: Record, tools: Tools) -> None:
        """End the silence, if it has not ended by itself or by somebody else."""
        alertmanager = tools.alertmanager(self.source)
        for one in await _made(record, alertmanager):
            if one.alive:
                await alertmanager.expire(one.id)

    async def drifted(self, target: str, record: Record, tools: Tools) -> bool:
        """Say no: a silence that somebody has ended has ended, and undo leaves theirs alone."""
        return False


async def _made(record: Record, alertmanager: Silencing) -> list[Silence]:
    return [one for one in await alertmanager.silences() if made_by(one.comment, record.key("do"))]
