"""From the bytes of a webhook to a Notice. Pure: whatever the bytes are, the outcome is a Notice or an IntakeError.

Some 150 µs for fifty alerts, two thirds of them JSON (see ``fast``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from responder.domain.alerts import LONGEST_LABEL, Notice
from responder.domain.errors import IntakeError
from responder.intake import answers, bounds, fast, wire
from responder.intake.grafana import read_grafana, without_own_names
from responder.intake.wire import JsonObject, Mender

Kind = Literal["alertmanager", "grafana"]
_VERSIONS: Mapping[Kind, str] = {"alertmanager": "4", "grafana": "1"}


@dataclass(frozen=True, slots=True)
class Glance:
    """What the door needs to know of a body."""

    alerts: int
    quarantined: int = 0
    flags: tuple[str, ...] = ()


def look(kind: Kind, body: bytes) -> Glance:
    """Find out whether a body can be read, as ``parse`` does; raises IntakeError with what the sender must change.

    A body that is as it should be is not taken apart here, deciding does that: what is accepted is the same, but an
    alert whose instants cannot be read still counts as one. What holds too much is refused here alone: what was
    accepted is read, whatever the bounds were then.
    """
    bounds.check_values(body)
    alerts = fast.count(_VERSIONS[kind], body)
    if alerts is not None:
        return Glance(alerts)
    data, mender = wire.decode(body)
    bounds.check_alerts(data.get("alerts"))
    notice = _read(kind, data, mender)
    return Glance(len(notice.alerts), len(notice.quarantined), notice.flags)


def parse(kind: Kind, body: bytes) -> Notice:
    """Read one body of a source of ``kind``, or what it showed when it was asked.

    Raises IntakeError with what the sender must change.
    """
    if answers.is_answer(body):
        return answers.read(body)
    notice = fast.read(_VERSIONS[kind], body) or parse_closely(kind, body)
    return replace(notice, group_labels=without_own_names(notice.group_labels)) if kind == "grafana" else notice


def parse_closely(kind: Kind, body: bytes) -> Notice:
    """Read a body value by value, mending what can be mended; raises IntakeError."""
    return _read(kind, *wire.decode(body))


def _read(kind: Kind, data: JsonObject, mender: Mender) -> Notice:
    return read_grafana(data, mender) if kind == "grafana" else read_alertmanager(data, mender)


def read_alertmanager(data: JsonObject, mender: Mender) -> Notice:
    """Read a decoded body of Alertmanager; raises IntakeError."""
    _check_version(data)
    group_labels = wire.read_texts(data.get("groupLabels"), mender, LONGEST_LABEL, "label")
    alerts, quarantined = wire.read_alerts(data.get("alerts"), wire.read_alert, mender)
    return Notice(
        receiver=wire.unquoted(data.get("receiver"), mender),
        group_key=wire.group_key(data.get("groupKey"), group_labels, mender),
        group_labels=group_labels,
        external_url=wire.text_or_empty(data.get("externalURL"), mender),
        alerts=alerts,
        truncated=wire.count(data.get("truncatedAlerts")),
        quarantined=quarantined,
        flags=tuple(sorted(mender.flags)),
    )


def _check_version(data: JsonObject) -> None:
    """Alertmanager has said ``"4"`` in every version since 0.1; 0.32 and later can send anything (``payload``)."""
    version = data.get("version")
    if version == "4":
        return
    if version == "1" and "orgId" in data:
        raise IntakeError("this is Grafana's format; set `kind: grafana` for this source")
    if version is None or "alerts" not in data:
        raise IntakeError(
            f"this is not Alertmanager's own format, version 4: {wire.unlike(data, '4')}; remove `payload` from the"
            " webhook_config"
        )
    raise IntakeError('this version of Alertmanager\'s format is not known; version "4" is')
