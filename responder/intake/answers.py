"""What a source shows when it is asked, as a body for the inbox: it is decided like any other delivery.

Only the responder itself writes such bodies; at the door they are refused like any other unknown format.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from responder.domain.alerts import LONGEST_LABEL, Alert, Notice, Shown
from responder.domain.episodes import Group
from responder.intake import wire
from responder.intake.wire import Mender

VERSION = "responder/1"
_PREFIX = b'{"version": "responder/1"'
_YEAR_ONE = "0001-01-01T00:00:00Z"


def is_answer(body: bytes) -> bool:
    """Say whether the responder wrote this body itself."""
    return body.startswith(_PREFIX)


def compose(group: Group, alerts: Iterable[Alert]) -> bytes:
    """Write what is shown of the alerts of one group."""
    answer = {
        "version": VERSION,
        "receiver": group.receiver,
        "groupKey": group.group_key,
        "groupLabels": dict(group.labels),
        "externalURL": group.external_url,
        "alerts": [_written(alert) for alert in alerts],
    }
    return json.dumps(answer).encode()


def _written(alert: Alert) -> dict[str, object]:
    return {
        "status": "firing",
        "shown": (alert.shown or Shown.UNCLEAR).value,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": _instant(alert.starts_at),
        "endsAt": _YEAR_ONE,
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
    }


def _instant(at: datetime) -> str:
    return at.isoformat()


def read(body: bytes) -> Notice:
    """Read what ``compose`` wrote; texts from outside are mended as a webhook's are. Raises IntakeError."""
    data, mender = wire.decode(body)
    alerts, quarantined = wire.read_alerts(data.get("alerts"), _alert, mender)
    receiver, group_key = data.get("receiver"), data.get("groupKey")
    return Notice(
        receiver=receiver if isinstance(receiver, str) else "",
        group_key=group_key if isinstance(group_key, str) else "",
        group_labels=wire.read_texts(data.get("groupLabels"), mender, LONGEST_LABEL, "label"),
        external_url=wire.text_or_empty(data.get("externalURL"), mender),
        alerts=alerts,
        quarantined=quarantined,
        flags=tuple(sorted(mender.flags)),
    )


def _alert(data: object, mender: Mender) -> Alert:
    alert = wire.read_alert(data, mender)
    shown = data.get("shown") if isinstance(data, dict) else None
    try:
        return replace(alert, shown=Shown(str(shown)))
    except ValueError:
        raise wire.Poison("it does not say what is shown") from None
