"""Grafana's webhook: Alertmanager's shape, version 1, with more beside it."""

from collections.abc import Mapping

from responder.domain.alerts import LONGEST_LABEL, Notice
from responder.domain.errors import IntakeError
from responder.intake import wire
from responder.intake.wire import JsonObject, Mender


def read_grafana(data: JsonObject, mender: Mender) -> Notice:
    """Read a decoded body; raises IntakeError."""
    _check_version(data)
    group_labels = wire.read_texts(data.get("groupLabels"), mender, LONGEST_LABEL, "label")
    key = wire.group_key(data.get("groupKey"), group_labels, mender)
    alerts, quarantined = wire.read_alerts(data.get("alerts"), wire.read_alert, mender)
    return Notice(
        receiver=wire.unquoted(data.get("receiver"), mender),
        group_key=key,
        group_labels=group_labels,
        external_url=wire.text_or_empty(data.get("externalURL"), mender),
        alerts=alerts,
        truncated=wire.count(data.get("truncatedAlerts")),
        quarantined=quarantined,
        flags=tuple(sorted(mender.flags)),
    )


def without_own_names(group_labels: Mapping[str, str]) -> dict[str, str]:
    """Leave out Grafana's own labels (``__alert_rule_uid__``): it hides them everywhere but in the group's labels."""
    return {name: value for name, value in group_labels.items() if not (name.startswith("__") and name.endswith("__"))}


def _check_version(data: JsonObject) -> None:
    version = data.get("version")
    if version == "1":
        return
    if version == "4":
        raise IntakeError("this is Alertmanager's format; set `kind: alertmanager` for this source")
    if "alerts" not in data or version is None:
        raise IntakeError(
            f"this is not Grafana's own format, version 1: {wire.unlike(data, '1')}; remove its custom payload"
        )
    raise IntakeError("this version of Grafana's format is not known; version 1 is")
