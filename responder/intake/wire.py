"""What the formats of Alertmanager and Grafana share: JSON read leniently, and alerts built one by one.

Whatever is wrong with one alert concerns that alert alone; whatever can be mended is mended and flagged.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic_core import from_json

from responder.domain.alerts import CUT, LONGEST_LABEL, REPLACEMENT, Alert, Quarantined, fingerprint
from responder.domain.errors import IntakeError

LONGEST_ANNOTATION = 16_384
LARGEST_LABELS = 65_536
"""Characters of all labels of one alert: more is not an alert."""
LONGEST_KEY = 1024
"""Bytes of a group key or receiver: PostgreSQL indexes no more than 2,704 bytes of a row."""

_SHOWN_NAMES, _SHOWN_NAME = 3, 20
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
_QUOTED = re.compile(r"\\([\\.+*?()|\[\]{}^$])")

JsonObject = Mapping[str, object]
_MAPPING_ERROR = "is not a mapping of texts"


class Poison(ValueError):
    """One alert cannot be read."""


class Mender:
    """Makes texts storable, and remembers what had to be mended."""

    def __init__(self, body: bytes) -> None:
        """Most bodies hold nothing to replace; that is found out once for the whole ``body``."""
        self.flags: set[str] = set()
        self._suspect = b"\\u" in body

    def text(self, value: str) -> str:
        """Replace NUL and lone surrogates: neither PostgreSQL nor UTF-8 can hold them."""
        if self._suspect and _NOT_TEXT.search(value):
            self.flags.add("nul_replaced" if "\x00" in value else "surrogate_replaced")
            return _NOT_TEXT.sub(REPLACEMENT, value)
        return value

    def cut(self, value: str, longest: int, flag: str) -> str:
        """Cut a text that is too long."""
        if len(value) <= longest:
            return value
        self.flags.add(flag)
        return value[: longest - 1] + CUT

    def key(self, value: str) -> str:
        """Shorten a key so that it stays unique and fits into an index."""
        if len(value) * 4 <= LONGEST_KEY or len(value.encode()) <= LONGEST_KEY:
            return value
        self.flags.add("key_cut")
        digest = hashlib.sha256(value.encode()).hexdigest()
        return f"{value[: LONGEST_KEY // 8]}… sha256:{digest}"


def decode(body: bytes) -> tuple[JsonObject, Mender]:
    """Read a body as a JSON object; raises IntakeError that says what to send instead."""
    mender = Mender(body)
    try:
        data = from_json(body)
    except ValueError:
        data = _decode_leniently(body, mender)
    if not isinstance(data, dict):
        raise IntakeError(f"the body is {_kind(data)}, not a JSON object; point a webhook_config here, nothing else")
    return data, mender


def _decode_leniently(body: bytes, mender: Mender) -> object:
    """Read what the strict reader refused: lone surrogates, control characters, invalid UTF-8."""
    if not body.strip():
        raise IntakeError("the body is empty; a webhook_config posts JSON here")
    strange: int | None = None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        strange = error.start
        text = body.decode("utf-8", "replace")
        mender.flags.add("utf8_replaced")
    try:
        return json.loads(text, strict=False, parse_int=_bounded_int)
    except RecursionError:
        raise IntakeError("the body is nested too deeply to be a notification") from None
    except ValueError as error:
        raise IntakeError(
            f"the body is not JSON{_place(error, text, strange)}; remove a custom `payload` from the webhook_config"
        ) from None


def _place(error: ValueError, text: str, strange: int | None) -> str:
    """Say where the first byte is that is no JSON; ``strange`` is the first one that is no UTF-8."""
    if not isinstance(error, json.JSONDecodeError):
        return ""
    place = f" at line {error.lineno} column {error.colno}"
    if strange is not None:
        # What was put in for strange bytes has another length, so that places behind it cannot be counted in bytes.
        return f"{place}: {error.msg} (nor UTF-8: byte {strange})"
    return f"{place}, byte {len(text[: error.pos].encode())}: {error.msg}"


def unlike(data: JsonObject, version: str) -> str:
    """Say what the top level of a body is, where a format wants ``version`` and ``alerts``."""
    missing = [f'"{name}"' for name in ("version", "alerts") if name not in data]
    if not missing:
        return f'its "version" is not "{version}"'
    lacks = f"its top level has no {' and no '.join(missing)}"
    found = [json.dumps(name[:_SHOWN_NAME]) for name in list(data)[:_SHOWN_NAMES]]
    more = f" and {len(data) - len(found)} more" if len(data) > len(found) else ""
    return f"{lacks}, but {', '.join(found)}{more}" if found else f"{lacks}, for it is empty"


def _bounded_int(digits: str) -> int:
    return int(digits) if len(digits) < 20 else 0  # noqa: PLR2004 - nothing read here has more than 64 bits


def read_alerts(
    found: object, build: Callable[[object, Mender], Alert], mender: Mender
) -> tuple[tuple[Alert, ...], tuple[Quarantined, ...]]:
    """Build every alert of ``alerts``; raises IntakeError when it is no list or when not one can be read."""
    if not isinstance(found, list):
        raise IntakeError(f"`alerts` is {_kind(found)}, not a list; remove a custom `payload` from the webhook_config")
    alerts: list[Alert] = []
    quarantined: list[Quarantined] = []
    for index, one in enumerate(found):
        try:
            alerts.append(build(one, mender))
        except Poison as error:
            quarantined.append(Quarantined(index, str(error)))
    if quarantined and not alerts:
        raise IntakeError(f"no alert could be read; alerts[0]: {quarantined[0].reason}")
    return tuple(alerts), tuple(quarantined)


def read_alert(data: object, mender: Mender) -> Alert:
    """Build one alert; raises Poison with a short reason."""
    if not isinstance(data, dict):
        raise Poison(f"it is {_kind(data)}, not an object")
    status = data.get("status")
    labels = _labels(data.get("labels"), mender)
    given = data.get("fingerprint")
    generator = data.get("generatorURL")
    alert = Alert(
        status=_status(status),
        labels=_cut_labels(labels, mender),
        annotations=read_texts(data.get("annotations"), mender, LONGEST_ANNOTATION, "annotation"),
        starts_at=_started(data.get("startsAt")),
        ends_at=_instant(data.get("endsAt"), "endsAt"),
        generator_url=mender.text(generator) if isinstance(generator, str) else "",
        fingerprint=_fingerprint(given, data["labels"], mender),
    )
    if fires_after_its_end(alert):
        raise Poison("it is firing, and its endsAt lies before its startsAt")
    return alert


def fires_after_its_end(alert: Alert) -> bool:
    """Whether an alert fires that ended before it began: nobody can tell which of it is wrong."""
    return alert.ends_at is not None and alert.status == "firing" and alert.ends_at < alert.starts_at


def _status(value: object) -> Literal["firing", "resolved"]:
    if value == "firing":
        return "firing"
    if value == "resolved":
        return "resolved"
    raise Poison(f"status is {_short(value)}, not firing or resolved")


def _fingerprint(given: object, found: Mapping[str, str], mender: Mender) -> str:
    """Return the sender's, or that of the labels as they were sent: mended ones may be alike where these are not."""
    if isinstance(given, str) and _FINGERPRINT.fullmatch(given):
        return given
    mender.flags.add("fingerprint_computed")
    return fingerprint({name: value for name, value in found.items() if value})


def _labels(found: object, mender: Mender) -> dict[str, str]:
    if not isinstance(found, dict) or not found:
        raise Poison(f"labels {_MAPPING_ERROR}, with at least one")
    labels: dict[str, str] = {}
    for name, value in found.items():
        if not isinstance(value, str):
            raise Poison(f"the label {_short(name)} is {_kind(value)}, not a text")
        if value:  # an empty label is the same as none
            labels[mender.text(name)] = mender.text(value)
    if not labels:
        raise Poison("there is no label with a value")
    size = labels_size(labels)
    if size > LARGEST_LABELS:
        raise Poison(f"its labels have {size} characters, more than {LARGEST_LABELS}")
    return labels


def labels_size(labels: Mapping[str, str]) -> int:
    """Count the characters of names and values."""
    return sum(map(len, labels)) + sum(map(len, labels.values()))


def _cut_labels(labels: dict[str, str], mender: Mender) -> dict[str, str]:
    for name, value in labels.items():
        if len(value) > LONGEST_LABEL or len(name) > LONGEST_LABEL:
            return {
                mender.cut(name, LONGEST_LABEL, "label_cut"): mender.cut(value, LONGEST_LABEL, "label_cut")
                for name, value in labels.items()
            }
    return labels


def read_texts(found: object, mender: Mender, longest: int, what: str) -> dict[str, str]:
    """Read a mapping of texts that nothing depends on: what is no text is left out, and flagged."""
    if not isinstance(found, dict):
        if found is not None:
            mender.flags.add(f"{what}_dropped")
        return {}
    texts: dict[str, str] = {}
    for name, value in found.items():
        if isinstance(value, str) and len(name) <= LONGEST_LABEL:
            texts[mender.text(name)] = mender.cut(mender.text(value), longest, f"{what}_cut")
        else:
            mender.flags.add(f"{what}_dropped")
    return texts


def _started(value: object) -> datetime:
    started = _instant(value, "startsAt")
    if started is None:
        raise Poison("startsAt is missing")
    return started


def _instant(value: object, name: str) -> datetime | None:
    """Read an RFC 3339 instant, in lower case too; nanoseconds are cut off, Go's zero time (year 1) means none."""
    if value is None or value == "0001-01-01T00:00:00Z":
        return None
    if not isinstance(value, str):
        raise Poison(f"{name} is {_kind(value)}, not a text")
    try:
        instant = datetime.fromisoformat(value.upper())
        if instant.year == 1:
            return None
        if instant.tzinfo is None:
            raise Poison(f"{name} has no time zone")
        return instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        if isinstance(error, Poison):
            raise
        raise Poison(f"{name} is {_short(value)}, not an RFC 3339 instant") from None


def unquoted(receiver: object, mender: Mender) -> str:
    """Return a receiver's name: the senders write it as ``regexp.QuoteMeta`` does."""
    if not isinstance(receiver, str):
        raise IntakeError("`receiver` is not a text; remove a custom `payload` from the webhook_config")
    return mender.key(mender.text(plain_name(receiver)))


def plain_name(receiver: str) -> str:
    """Take back what Go's ``regexp.QuoteMeta`` did."""
    return _QUOTED.sub(r"\1", receiver) if "\\" in receiver else receiver


def group_key(found: object, group_labels: Mapping[str, str], mender: Mender) -> str:
    """Return the group key, or one made of the group's labels."""
    if isinstance(found, str) and found:
        return mender.key(mender.text(found))
    mender.flags.add("group_key_made")
    inner = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(group_labels.items()))
    return mender.key(f"{{}}:{{{inner}}}")


def text_or_empty(found: object, mender: Mender) -> str:
    """Return a text that nothing depends on."""
    return mender.text(found) if isinstance(found, str) else ""


def count(found: object) -> int:
    """Return a count, 0 for anything else."""
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**31 else 0


def _kind(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def _short(value: object) -> str:
    if not isinstance(value, str):
        return _kind(value)
    return ascii(value if len(value) <= 40 else value[:39] + "…")  # noqa: PLR2004 - enough to recognise it
