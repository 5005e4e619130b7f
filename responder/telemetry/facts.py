"""The table of facts: how each is logged, and what it counts."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import structlog

from responder.telemetry.metrics import Metrics

Fields = Mapping[str, object]
Note = Callable[[Metrics, Fields], None]
_Level = Literal["debug", "info", "warning", "error"]
AGAIN_SECONDS = 60.0
"""While a store is down, every worker and chore fails several times a second, and says nothing new."""
_DIGEST_DIGITS = 12
"""48 bits of a digest: exact in the double that a metric is."""


@dataclass(frozen=True, slots=True)
class Fact:
    """How loud a fact is, and what it moves."""

    level: _Level
    note: Note | None = None
    about: str = ""
    """A field: for each of its values the fact is logged at most once in ``AGAIN_SECONDS``, and counted each time."""


def _text(fields: Fields, name: str) -> str:
    return str(fields.get(name, ""))


def _number(fields: Fields, name: str, otherwise: float = 0) -> float:
    value = fields.get(name, otherwise)
    return float(value) if isinstance(value, int | float) else otherwise


def _delivery(metrics: Metrics, fields: Fields) -> None:
    metrics.deliveries.labels(_text(fields, "source"), _text(fields, "result") or "accepted").inc()
    if "alerts" in fields:
        metrics.alerts.labels(_text(fields, "source")).inc(_number(fields, "alerts"))


def _flush(metrics: Metrics, fields: Fields) -> None:
    metrics.flush_seconds.observe(_number(fields, "seconds"))
    metrics.flush_rows.observe(_number(fields, "rows"))


def _reload(metrics: Metrics, fields: Fields) -> None:
    metrics.reload_ok.set(bool(fields.get("ok")))
    if fields.get("ok"):
        metrics.reload_at.set(time.time())
        metrics.config_hash.set(int(_text(fields, "digest")[:_DIGEST_DIGITS] or "0", 16))


def _playbooks(metrics: Metrics, fields: Fields) -> None:
    metrics.playbooks.set(_number(fields, "loaded"))
    metrics.playbooks_stale.set(_number(fields, "stale"))
    metrics.playbook_errors.clear()
    for file, errors in cast("Mapping[str, int]", fields.get("errors") or {}).items():
        metrics.playbook_errors.labels(file).set(errors)


def _queue_depth(metrics: Metrics, fields: Fields) -> None:
    queue = _text(fields, "queue")
    metrics.depth.labels(queue).set(_number(fields, "waiting"))
    metrics.oldest.labels(queue).set(_number(fields, "oldest_seconds"))
    metrics.dead.labels(queue).set(_number(fields, "dead"))


def _clock(metrics: Metrics, fields: Fields) -> None:
    metrics.clock_suspect.set(bool(fields.get("suspect")))
    metrics.clock_offset.set(_number(fields, "offset"))


def _run_finished(metrics: Metrics, fields: Fields) -> None:
    metrics.runs.labels(_text(fields, "state"), _text(fields, "playbook")).inc()
    if "seconds" in fields:
        metrics.run_seconds.observe(_number(fields, "seconds"))


def _effect(metrics: Metrics, fields: Fields) -> None:
    names = ("action", "direction", "state")
    metrics.effects.labels(*(_text(fields, name) for name in names)).inc()


def _notification(result: str) -> Note:
    def note(metrics: Metrics, fields: Fields) -> None:
        kind = _text(fields, "destination").partition(":")[0]
        metrics.notifications.labels(kind, result).inc()
        if result == "delivered":
            metrics.notification_seconds.observe(_number(fields, "seconds"))

    return note


def _destination(metrics: Metrics, fields: Fields) -> None:
    metrics.destination_up.labels(_text(fields, "destination")).set(bool(fields.get("reachable")))


def _tell_later(metrics: Metrics, fields: Fields) -> None:
    # Pacing puts a message off without anything having failed.
    _notification("failed" if fields.get("failed", True) else "paced")(metrics, fields)


FACTS: Mapping[str, Fact] = {
    # configuration
    "started": Fact("info", lambda m, f: m.build_info.labels(_text(f, "version"), _text(f, "revision"), "").set(1)),
    "stopping": Fact("info"),
    "stopped": Fact("info"),
    "listening": Fact("info"),
    "reload": Fact("info", _reload),
    "playbooks": Fact("info", _playbooks),
    "complaint": Fact("warning"),
    # intake
    "delivery": Fact("debug", _delivery),  # a line for each webhook costs as much as reading its body
    "delivery_refused": Fact("warning", _delivery),
    "intake_flush": Fact("debug", _flush),
    "http_request": Fact(
        "debug", lambda m, f: m.http.labels(_text(f, "handler"), _text(f, "code")).observe(_number(f, "seconds"))
    ),
    "http_failed": Fact("error"),
    "malformed_request": Fact("warning", lambda m, f: m.malformed.labels(_text(f, "reason")).inc()),
    "access_refused": Fact("warning"),
    "web_config": Fact("warning"),
    # decide
    "delivery_decided": Fact("debug", lambda m, f: m.decided_after.observe(_number(f, "seconds"))),
    "delivery_failed": Fact("warning"),
    "delivery_dead": Fact("error"),
    "due_slice_failed": Fact("warning"),
    "episode_failed": Fact("warning"),
    "alerts_quarantined": Fact(
        "warning", lambda m, f: m.quarantined.labels(_text(f, "source")).inc(_number(f, "count"))
    ),
    "episode": Fact("debug", lambda m, f: m.episodes.labels(_text(f, "change")).inc()),
    "decision": Fact("info", lambda m, f: m.decisions.labels(_text(f, "verdict")).inc()),
    "unrouted": Fact("warning", lambda m, _: m.unrouted.inc(), about="alertname"),
    "person_needed": Fact("info"),
    "run_created": Fact("info", lambda m, f: m.runs_started.labels(_text(f, "playbook"), _text(f, "mode")).inc()),
    # asking the sources
    "reconciled": Fact("debug", lambda m, f: m.reconciled.labels(_text(f, "source")).inc(_number(f, "alerts"))),
    "witness_failed": Fact("warning"),
    # act
    "turn": Fact("debug", lambda m, f: m.turn_seconds.observe(_number(f, "seconds"))),
    "turn_lost": Fact("warning"),
    "turn_failed": Fact("warning"),
    "turn_crashed": Fact("error"),
    "given_back": Fact("info"),
    "run_left": Fact("warning"),
    "run_bound": Fact("info"),
    "run_joined": Fact("info"),
    "run_state": Fact("debug"),
    "run_finished": Fact("info", _run_finished),
    "episodes_due": Fact("debug"),
    "effect": Fact("info", _effect),
    "effect_uncertain": Fact("warning"),
    "read_back_failed": Fact("warning"),
    # tell
    "told": Fact("info", _notification("delivered")),
    "told_again": Fact("warning", _notification("repeated")),
    "tell_later": Fact("info", _tell_later),
    "tell_failed": Fact("warning", _notification("failed")),
    "tell_gave_up": Fact("error", _notification("dead")),
    "destination": Fact("warning", _destination),
    "tell_waits_for_store": Fact("warning"),
    "message_gone": Fact("info"),
    "picture_shown": Fact("info"),
    "picture_left": Fact("warning"),
    "enriched": Fact("debug"),
    "not_enriched": Fact("info", about="error"),
    # people
    "asked": Fact("info", lambda m, f: m.asked.labels(_text(f, "what")).inc()),
    "pagerduty_event": Fact("info"),
    "slack_asked": Fact("info", lambda m, f: m.slack_asked.labels(_text(f, "what"), _text(f, "status")).inc()),
    "slack_reply_failed": Fact("warning"),
    "slack_socket": Fact("info", lambda m, f: m.slack_connected.set(_number(f, "connected"))),
    "slack_socket_moves": Fact("debug"),
    "slack_envelope_failed": Fact("warning"),
    "brake": Fact("warning", lambda m, f: m.brakes.labels(_text(f, "source")).set(_number(f, "in_force"))),
    # keeping house
    "worker_waits": Fact("warning", about="queue"),
    "worker_failed": Fact("error"),
    "chore_failed": Fact("warning", about="chore"),
    "page_overdue": Fact("warning"),
    "unclaimed": Fact("error"),
    "set_aside": Fact("error", lambda m, f: m.set_aside.labels(_text(f, "what").partition(" ")[0]).inc()),
    "life_ended": Fact("info"),
    "clock": Fact("debug", _clock),
    "clock_suspect": Fact("error", lambda m, f: m.clock_jumps.inc(_number(f, "jumps"))),
    "clock_trusted": Fact("info"),
    "server_changed": Fact("error", lambda m, _: m.server_changes.inc()),
    "redis_unavailable": Fact("warning"),
    "queue_depth": Fact("debug", _queue_depth),
    "untold": Fact("debug", lambda m, f: m.untold.set(_number(f, "count"))),
    "expired": Fact("info", lambda m, f: m.expired.inc(_number(f, "rows"))),
}
_UNKNOWN = Fact("info")


class Telemetry:
    """Where facts go."""

    def __init__(self, metrics: Metrics, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Count in ``metrics``; log as configured."""
        self.metrics = metrics
        self._monotonic = monotonic
        self._logged: dict[tuple[str, str], float] = {}
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

    def fact(self, name: str, /, **fields: object) -> None:
        """Log and count the fact ``name``; never raises for what its fields hold."""
        fact = FACTS.get(name, _UNKNOWN)
        level = _level(name, fact, fields)
        shown = fields
        if "event" in fields:  # structlog's own parameter has that name
            shown = {f"{key}_" if key == "event" else key: value for key, value in fields.items()}
        repeated = fact.about != "" and self._repeats(name, _text(fields, fact.about))
        getattr(self._log, "debug" if repeated else level)(name, **shown)
        if level in ("warning", "error"):
            self.metrics.problems.labels(name).inc()
        if fact.note is not None:
            try:
                fact.note(self.metrics, fields)
            except (TypeError, ValueError, AttributeError) as error:
                self._log.error("fact_not_counted", fact=name, error=str(error))
                self.metrics.problems.labels("fact_not_counted").inc()

    def _repeats(self, name: str, about: str) -> bool:
        """Say whether that was logged within the last minute; if not, it is now."""
        now = self._monotonic()
        if now - self._logged.get((name, about), -AGAIN_SECONDS) < AGAIN_SECONDS:
            return True
        self._logged[name, about] = now
        return False


def _level(name: str, fact: Fact, fields: Fields) -> _Level:
    """Return how loud it is this time: some facts tell of what is well and of what is not."""
    if not fields.get("logged", True) or (name == "decision" and fields.get("verdict") == "no_match"):
        return "debug"  # one of too many; what matches nothing is most of what comes in
    if (name == "reload" and not fields.get("ok")) or (name == "complaint" and fields.get("severity") == "error"):
        return "error"
    if (
        (name == "tell_later" and fields.get("failed", True))
        or (name == "slack_socket" and not fields.get("connected"))
        or (name == "playbooks" and fields.get("errors"))
    ):
        return "warning"
    return fact.level
