"""Telemetry: each fact is emitted once, and is logged and counted from one table."""

import logging
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from pydantic import JsonValue

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
MASK = "<secret>"
SHORTEST_SECRET = 4
"""Shorter values would mask ordinary words."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Redactor:
    """Knows every secret value and takes it out of whatever leaves the process."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._values: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str]) -> None:
        """Remember further values, the longest first so that no part of one stays."""
        known = {*self._values, *(value for value in secrets if len(value) >= SHORTEST_SECRET)}
        self._values = tuple(sorted(known, key=len, reverse=True))

    def text(self, text: str) -> str:
        """Return ``text`` without secrets."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        return text

    def holds_secret(self, value: JsonValue) -> bool:
        """Say whether a secret stands anywhere in a JSON value, keys included."""
        if isinstance(value, str):
            return any(secret in value for secret in self._values)
        if isinstance(value, Mapping):
            return any(self.holds_secret(key) or self.holds_secret(inner) for key, inner in value.items())
        if isinstance(value, list):
            return any(self.holds_secret(inner) for inner in value)
        return False

    def _clean(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self._clean(key): self._clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(inner) for inner in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.text(str(value))

    def processor(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - structlog's own signature
        """Clean one log line; a step of structlog's pipeline."""
        return {key: self._clean(value) for key, value in event.items()}


def configure_logging(level: str, form: str, redactor: Redactor) -> None:
    """Send every log line to stderr as JSON or logfmt, cleaned; the standard library's loggers too."""
    renderer: Any = structlog.processors.JSONRenderer() if form == "json" else structlog.processors.LogfmtRenderer()
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        redactor.processor,
    ]
    number = LEVELS.get(level, logging.INFO)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(processors=[meta, renderer], foreign_pre_chain=shared)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    # Their debug lines hold bodies and headers, credentials included.
    for name in ("aiohttp.access", "kubernetes_asyncio", "slack_sdk", "asyncio", "sqlalchemy", "aiosqlite"):
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


@dataclass(frozen=True, slots=True)
class _Known:
    """What a fact is besides a log line: its level and how it counts."""

    level: str = "info"
    count: Callable[["Metrics", Mapping[str, Any]], None] | None = None


class Metrics:
    """Every metric of the responder, in a registry of its own."""

    def __init__(self, version: str) -> None:
        """Register them; ``version`` is shown by ``responder_build_info``."""
        self.registry = CollectorRegistry()
        make = {"registry": self.registry}
        Gauge("responder_build_info", "Always 1.", ["version"], **make).labels(version).set(1)  # type: ignore[arg-type]  # a registry, by keyword
        self.reload_ok = Gauge("responder_config_last_reload_successful", "1 when it was.", registry=self.registry)
        self.reload_at = Gauge(
            "responder_config_last_reload_success_timestamp_seconds", "When it was.", registry=self.registry
        )
        self.load_errors = Gauge(
            "responder_playbook_load_errors", "Errors of a playbook file.", ["file"], registry=self.registry
        )
        self.waiting = Gauge("responder_queue_depth", "Rows that wait.", ["queue"], registry=self.registry)
        self.oldest = Gauge("responder_queue_oldest_seconds", "Age of the oldest.", ["queue"], registry=self.registry)
        self.dead = Gauge("responder_queue_dead", "Rows set aside.", ["queue"], registry=self.registry)
        self.untold = Gauge(
            "responder_untold_incidents", "Incidents that need a person, not told yet.", registry=self.registry
        )
        self.deliveries = Counter(
            "responder_deliveries", "Webhook bodies by outcome.", ["source", "result"], registry=self.registry
        )
        self.decisions = Counter("responder_decisions", "Decisions.", ["verdict"], registry=self.registry)
        self.runs = Counter("responder_runs", "Finished runs.", ["state"], registry=self.registry)
        self.effects = Counter(
            "responder_effects", "Effects at targets.", ["action", "direction", "state"], registry=self.registry
        )
        self.notifications = Counter(
            "responder_notifications", "Messages.", ["destination_kind", "result"], registry=self.registry
        )
        self.failures = Counter("responder_failures", "What went wrong inside.", ["fact"], registry=self.registry)
        self.turn_seconds = self._histogram("responder_turn_duration_seconds", "A turn of a run.")
        self.decide_seconds = self._histogram("responder_delivery_decided_seconds", "From arrival to decided.")
        self.commit_seconds = self._histogram("responder_delivery_stored_seconds", "From read to durable.")
        self.tell_seconds = self._histogram("responder_notification_duration_seconds", "One message.")

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=_SECONDS, registry=self.registry)


def _queue(metrics: Metrics, fields: Mapping[str, Any]) -> None:
    queue = fields["queue"]
    metrics.waiting.labels(queue).set(fields["waiting"])
    metrics.oldest.labels(queue).set(fields["oldest_seconds"])
    metrics.dead.labels(queue).set(fields["dead"])


def _delivery(metrics: Metrics, fields: Mapping[str, Any]) -> None:
    metrics.deliveries.labels(fields["source"], fields["result"]).inc()
    if "seconds" in fields:
        metrics.commit_seconds.observe(fields["seconds"])


def _effect(metrics: Metrics, fields: Mapping[str, Any]) -> None:
    metrics.effects.labels(fields["action"], fields["direction"], fields["state"]).inc()


def _told(metrics: Metrics, fields: Mapping[str, Any]) -> None:
    kind = str(fields.get("destination", "")).partition(":")[0]
    metrics.notifications.labels(kind, fields.get("result", "ok")).inc()
    if "seconds" in fields:
        metrics.tell_seconds.observe(fields["seconds"])


def _reload(metrics: Metrics, fields: Mapping[str, Any]) -> None:
    metrics.reload_ok.set(1 if fields["ok"] else 0)
    if fields["ok"]:
        metrics.reload_at.set_to_current_time()


def _load_errors(metrics: Metrics, fields: Mapping[str, Any]) -> None:
    metrics.load_errors.clear()
    for file, errors in fields["errors"].items():
        metrics.load_errors.labels(file).set(errors)


FACTS: Mapping[str, _Known] = {
    "delivery": _Known("debug", _delivery),
    "delivery_decided": _Known("debug", lambda m, f: m.decide_seconds.observe(f["seconds"])),
    "decision": _Known("info", lambda m, f: m.decisions.labels(f["verdict"]).inc()),
    "episode": _Known("debug"),
    "run_created": _Known("info"),
    "run_state": _Known("info"),
    "run_finished": _Known("info", lambda m, f: m.runs.labels(f["state"]).inc()),
    "turn": _Known("debug", lambda m, f: m.turn_seconds.observe(f["seconds"])),
    "effect": _Known("info", _effect),
    "notification": _Known("info", _told),
    "queue_depth": _Known("debug", _queue),
    "untold": _Known("debug", lambda m, f: m.untold.set(f["count"])),
    "reload": _Known("info", _reload),
    "playbooks": _Known("info", _load_errors),
    "expired": _Known("debug"),
    "set_aside": _Known("error"),
}
"""Known facts; any other is a failure: logged as a warning and counted by its name."""


class Telemetry:
    """Takes facts: ``fact(name, **fields)`` logs and counts."""

    def __init__(self, metrics: Metrics) -> None:
        """Count into ``metrics``; the log is structlog's, configured by :func:`configure_logging`."""
        self.metrics = metrics
        self._log = structlog.get_logger("responder")

    def fact(self, name: str, /, **fields: object) -> None:
        """Note the fact ``name``; never raises for what a field holds."""
        known = FACTS.get(name)
        if known is None:
            self.metrics.failures.labels(name).inc()
            self._log.warning(name, **fields)
            return
        if known.count is not None:
            known.count(self.metrics, fields)
        getattr(self._log, known.level)(name, **fields)
