"""The quick way through a body that is as it should be: one typed pass in pydantic's core, no mending.

Whatever is unusual returns None, and the slow way (``wire``) says what is wrong or mends it. A test holds that both
give the same Notice.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from responder.domain.alerts import LONGEST_LABEL, Alert, Notice
from responder.intake.bounds import MOST_ALERTS
from responder.intake.wire import (
    LARGEST_LABELS,
    LONGEST_ANNOTATION,
    LONGEST_KEY,
    fires_after_its_end,
    labels_size,
    plain_name,
)

_STRICT = ConfigDict(strict=True)
_Name = Annotated[str, Field(max_length=LONGEST_LABEL)]
_Label = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL)]
_Key = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY // 4)]
# One fault is enough to go the slow way: pydantic would keep every one of a body, some kilobytes each.
_ONE_FAULT = Field(fail_fast=True)
_ZERO = "0001-01-01T00:00:00Z"
_NUL = re.compile(rb"\\u0000")


class _WireAlert(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc] # pydantic's way to configure a TypedDict
    status: Literal["firing", "resolved"]
    labels: Annotated[dict[_Name, _Label], Field(min_length=1), _ONE_FAULT]
    annotations: Annotated[dict[_Name, Annotated[str, Field(max_length=LONGEST_ANNOTATION)]], _ONE_FAULT]
    startsAt: str
    endsAt: str
    generatorURL: str
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class _WireNotice(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc] # pydantic's way to configure a TypedDict
    version: str
    receiver: _Key
    groupKey: _Key
    groupLabels: Annotated[dict[_Name, _Name], _ONE_FAULT]
    externalURL: str
    alerts: Annotated[list[_WireAlert], Field(max_length=MOST_ALERTS), _ONE_FAULT]
    truncatedAlerts: NotRequired[Annotated[int, Field(ge=0, lt=2**31)]]


_BODY = TypeAdapter(_WireNotice)


def count(version: str, body: bytes) -> int | None:
    """Return how many alerts a body of this ``version`` holds, or None when it takes a closer look."""
    data = _valid(version, body)
    if data is None:
        return None
    try:
        # With one alert that can be read the body is accepted, whatever the instants of the others are.
        for one in data["alerts"][:1]:
            _alert(one)
    except (ValueError, OverflowError):
        return None
    return len(data["alerts"])


def read(version: str, body: bytes) -> Notice | None:
    """Read a body of this ``version``, or return None when it takes a closer look."""
    data = _valid(version, body)
    if data is None:
        return None
    try:
        alerts = tuple([_alert(one) for one in data["alerts"]])
    except (ValueError, OverflowError):
        return None
    return Notice(
        receiver=plain_name(data["receiver"]),
        group_key=data["groupKey"],
        group_labels=data["groupLabels"],
        external_url=data["externalURL"],
        alerts=alerts,
        truncated=data.get("truncatedAlerts", 0),
    )


def _valid(version: str, body: bytes) -> _WireNotice | None:
    if _NUL.search(body):
        return None
    try:
        data = _BODY.validate_json(body)
    except ValueError:
        return None
    if data["version"] != version or (len(body) > LARGEST_LABELS and _too_large(data)):
        return None
    return data


def _alert(one: _WireAlert) -> Alert:
    ends = one["endsAt"]
    alert = Alert(
        one["status"],
        one["labels"],
        one["annotations"],
        _instant(one["startsAt"]),
        None if ends == _ZERO else _instant(ends),
        one["generatorURL"],
        one["fingerprint"],
    )
    if fires_after_its_end(alert):
        raise ValueError(ends)
    return alert


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is UTC and instant.year > 1:
        return instant
    if instant.tzinfo is None or instant.year == 1:
        raise ValueError(text)
    return instant.astimezone(UTC)


def _too_large(data: _WireNotice) -> bool:
    labels: list[Mapping[str, str]] = [one["labels"] for one in data["alerts"]]
    return any(labels_size(one) > LARGEST_LABELS for one in labels)
