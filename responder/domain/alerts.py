"""Alerts and deliveries, as the senders' formats are normalised."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

LONGEST_LABEL = 4096
"""Characters of a label's name or value; more are cut on the way in."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What stands for what no text can hold: NUL, lone surrogates, bytes that are no UTF-8."""
CUT = "…"
"""How a text ends that was cut."""
_SHOWN = 40
_REASONS = 3

_FNV_OFFSET = 14695981039346656037
_FNV_PRIME = 1099511628211
_MASK = (1 << 64) - 1


class Severity(StrEnum):
    """How urgent an alert is, most urgent first; users map their own label's values onto these."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for critical to 3 for low: smaller goes first."""
        return _RANKS[self]

    @property
    def wakes(self) -> bool:
        """Whether somebody is called for it although nothing has gone wrong: critical and high."""
        return self in (Severity.CRITICAL, Severity.HIGH)


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Shown(StrEnum):
    """What a sender's own API shows of an alert when it is asked.

    ``missing``: it is not there. ``unclear``: it is there, and neither active nor silenced nor inhibited.
    """

    ACTIVE = "active"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    MISSING = "missing"
    UNCLEAR = "unclear"


def worst(severities: Iterable[Severity]) -> Severity:
    """Return the most urgent of ``severities``; low when there are none."""
    return min(severities, key=lambda severity: severity.rank, default=Severity.LOW)


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return Alertmanager's fingerprint of a label set: FNV-1a-64 over sorted ``name 0xff value 0xff``, 16 hex digits.

    Source: prometheus/common model.LabelSet.Fingerprint; agrees with every captured payload.
    """
    digest = _FNV_OFFSET
    for name in sorted(labels):
        for byte in (*_bytes(name), 0xFF, *_bytes(labels[name]), 0xFF):
            digest = ((digest ^ byte) * _FNV_PRIME) & _MASK
    return f"{digest:016x}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def alteration(labels: Mapping[str, str]) -> str:
    """Say which label is not as it was sent and why, empty when all are; a value that only looks so counts as well.

    It shows in the labels themselves, so that it is known wherever they are, now and after a restart.
    """
    for name, value in labels.items():
        for text, where in ((value, ""), (name, " (in its name)")):
            if REPLACEMENT in text:
                return f"The label {_shown(name)} holds characters that cannot be kept, such as NUL{where}."
            if len(text) == LONGEST_LABEL and text.endswith(CUT):
                return f"The label {_shown(name)} is longer than {LONGEST_LABEL} characters and was cut{where}."
    return ""


def _shown(name: str) -> str:
    return ascii(name if len(name) <= _SHOWN else name[: _SHOWN - 1] + CUT)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a delivery. ``ends_at`` is None while it fires (the wire says year 1).

    ``shown`` is None for what the sender said by itself, else what its API showed when it was asked.
    ``silenced_by`` are the silences that are all that keeps it quiet there, by their ids.
    """

    status: Literal["firing", "resolved"]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None
    generator_url: str
    fingerprint: str
    shown: Shown | None = None
    silenced_by: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The alertname, or a readable stand-in: Alertmanager accepts alerts without one."""
        return self.labels.get("alertname") or "(no alertname)"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An alert inside an accepted body that could not be read; ``index`` is its place in ``alerts``."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A parsed webhook body: what one delivery says.

    ``receiver`` is unescaped. ``truncated`` counts the alerts that the sender left out: then its group status lies.
    ``flags`` names what had to be mended on the way in (``nul_replaced``, ``label_cut`` …).
    """

    receiver: str
    group_key: str
    group_labels: Mapping[str, str]
    external_url: str
    alerts: tuple[Alert, ...]
    truncated: int = 0
    quarantined: tuple[Quarantined, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def unread(self) -> str:
        """Say how many alerts could not be read, and why the first of them; empty when all could."""
        if not self.quarantined:
            return ""
        reasons = [f"alerts[{one.index}]: {one.reason}" for one in self.quarantined[:_REASONS]]
        more = f"; and {len(self.quarantined) - _REASONS} more" if len(self.quarantined) > _REASONS else ""
        of = len(self.alerts) + len(self.quarantined)
        return f"{len(self.quarantined)} of {of} alerts could not be read: {'; '.join(reasons)}{more}"

    @property
    def asked_for(self) -> bool:
        """Whether the sender was asked, and did not say this by itself."""
        return bool(self.alerts) and self.alerts[0].shown is not None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One accepted webhook body, in the inbox. ``cursor`` counts the alerts already decided."""

    id: str
    source: str
    received_at: datetime
    body: bytes = field(repr=False)
    cursor: int = 0
    attempts: int = 0
    epoch: int = 0
