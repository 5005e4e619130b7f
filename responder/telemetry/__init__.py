"""Each fact once: a name and its fields are logged and counted together, and no secret leaves in either."""

from responder.telemetry.facts import FACTS, Telemetry
from responder.telemetry.logs import configure_logging, log_last_words
from responder.telemetry.metrics import Metrics
from responder.telemetry.redact import Privacy, Redactor, shapes

__all__ = ["FACTS", "Metrics", "Privacy", "Redactor", "Telemetry", "configure_logging", "log_last_words", "shapes"]
