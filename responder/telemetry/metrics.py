"""The metrics, in a registry of their own."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What every Prometheus reads."""

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """What can be seen of a running responder at ``/metrics``; every name begins with ``responder_``."""

    def __init__(self) -> None:
        """Begin at zero."""
        # A second series beside each counter that nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves this one without types
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._configuration()
        self._queues()
        self._intake_and_decide()
        self._act_and_tell()

    def _configuration(self) -> None:
        self.build_info = self._gauge(
            "build_info", "Always 1; the labels say what runs.", "version", "revision", "branch"
        )
        self.reload_ok = self._gauge("config_last_reload_successful", "Whether the last reload was successful.")
        self.reload_at = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When the configuration was last loaded successfully."
        )
        self.config_hash = self._gauge("config_hash", "A number that changes with the text of the configuration.")
        self.brakes = self._gauge("own_brakes", "Brakes that a file or the environment puts on this process.", "source")
        self.playbooks = self._gauge("playbooks_loaded", "Playbooks in use.")
        self.playbooks_stale = self._gauge("playbooks_stale", "Playbooks whose file is wrong; the last good one runs.")
        self.playbook_errors = self._gauge("playbook_load_errors", "Errors in a playbook's file.", "file")

    def _queues(self) -> None:
        self.depth = self._gauge("queue_depth", "Rows that wait.", "queue")
        self.oldest = self._gauge("queue_oldest_seconds", "Age of the oldest row that is due.", "queue")
        self.dead = self._gauge("queue_dead", "Rows set aside after too many attempts.", "queue")
        self.untold = self._gauge("untold_incidents", "Incidents that need a person nobody has been told of yet.")
        self.set_aside = self._counter("set_aside_total", "What was set aside after too many attempts.", "kind")
        self.problems = self._counter("problems_total", "Facts that were logged as warnings or errors.", "fact")
        self.clock_suspect = self._gauge(
            "clock_suspect", "Whether the store's clock is not trusted: no forward effects then."
        )
        self.clock_offset = self._gauge(
            "clock_offset_seconds", "What is added to the clock that the store reads, for the jumps it has made."
        )
        self.clock_jumps = self._counter("clock_jumps_total", "Jumps of the store's clock that were taken back.")
        self.server_changes = self._counter("store_server_changes_total", "Other database servers that took over.")
        self.expired = self._counter("expired_rows_total", "Rows deleted after their retention.")

    def _intake_and_decide(self) -> None:
        self.deliveries = self._counter(
            "deliveries_total", "Webhook requests by how they were answered.", "source", "result"
        )
        self.alerts = self._counter("alerts_received_total", "Alerts in accepted webhook bodies.", "source")
        self.quarantined = self._counter("alerts_quarantined_total", "Alerts that could not be read.", "source")
        self.reconciled = self._counter(
            "alerts_reconciled_total", "Alerts that a source, when asked, showed otherwise or still firing.", "source"
        )
        self.decided_after = self._histogram(
            "delivery_duration_seconds", "From accepting a delivery to having decided it.", _FAST
        )
        self.flush_seconds = self._histogram("intake_flush_duration_seconds", "One commit of deliveries.", _FAST)
        self.flush_rows = self._histogram("intake_flush_deliveries", "Deliveries that shared one commit.", _ROWS)
        self.decisions = self._counter("decisions_total", "Decisions by verdict.", "verdict")
        self.episodes = self._counter(
            "episode_changes_total", "Episodes that opened, closed or otherwise changed.", "change"
        )
        self.unrouted = self._counter("unrouted_incidents_total", "Incidents that began and that no route took.")
        self.http = self._histogram("http_request_duration_seconds", "HTTP requests served.", _FAST, "handler", "code")
        self.malformed = self._counter("malformed_requests_total", "Requests that were no well-formed HTTP.", "reason")

    def _act_and_tell(self) -> None:
        self.runs_started = self._counter("runs_started_total", "Runs created.", "playbook", "mode")
        self.runs = self._counter("runs_total", "Runs that ended, by how.", "state", "playbook")
        self.run_seconds = self._histogram("run_duration_seconds", "From creating a run to its end.", _SLOW)
        self.turn_seconds = self._histogram("turn_duration_seconds", "One turn of a run.", _FAST)
        self.effects = self._counter("effects_total", "Effects at targets.", "action", "direction", "state")
        self.notifications = self._counter(
            "notifications_total",
            "Messages by the kind of destination and what became of them.",
            "destination_kind",
            "result",
        )
        self.notification_seconds = self._histogram(
            "notification_duration_seconds", "One message to its channel.", _FAST
        )
        self.destination_up = self._gauge(
            "destination_up", "0 while a destination fails again and again; there once it has done so.", "destination"
        )
        self.asked = self._counter("people_requests_total", "What people asked for.", "what")
        self.slack_asked = self._counter(
            "slack_requests_total",
            "Buttons pressed and commands typed in Slack, and what became of them.",
            "what",
            "status",
        )
        self.slack_connected = self._gauge(
            "slack_socket_connected", "1 while Socket Mode is connected; 0 also where it is not configured."
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"responder_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"responder_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"responder_{name}", text, labels, registry=self.registry, buckets=buckets)

    def render(self) -> tuple[bytes, str]:
        """Return the metrics as text and its content type; safe in a thread.

        Prometheus 3 refuses a scrape without a content type that it knows.
        """
        return generate_latest(self.registry), CONTENT_TYPE
