"""Logs: one line a fact, JSON or logfmt, on stderr; other libraries' lines take the same way."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from responder.domain.errors import SettingsError
from responder.telemetry.redact import Redactor

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
"""As Prometheus names them."""

FORMATS = ("json", "logfmt")


def configure_logging(level: str, log_format: str, redactor: Redactor, stream: TextIO | None = None) -> None:
    """Log at ``level`` (debug, info, warn, error) and above as ``log_format`` (json, logfmt), secrets masked.

    Raises SettingsError for another level or format.
    """
    if level not in LEVELS:
        raise SettingsError(f"--log.level: {level!r} is not one of {', '.join(LEVELS)}")
    if log_format not in FORMATS:
        raise SettingsError(f"--log.format: {log_format!r} is not one of {', '.join(FORMATS)}")
    out = stream or sys.stderr
    before: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
    ]
    after: list[structlog.typing.Processor] = [_renderer(log_format), _Masking(redactor)]
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after],
        ),
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(LEVELS[level], logging.INFO))
    # The Kubernetes client logs whole answers at DEBUG, Secrets among them; requests are facts of ours already.
    for name, least in (
        ("kubernetes_asyncio", logging.INFO),
        ("aiohttp.access", logging.WARNING),
        ("alembic", logging.WARNING),
    ):
        logging.getLogger(name).setLevel(least)


def _renderer(log_format: str) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.processors.LogfmtRenderer(key_order=["ts", "level", "event"])


class _Masking:
    """Masks secrets in the finished line, so that no field, message or traceback is forgotten."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, _logger: object, _method: str, line: str | MutableMapping[str, Any]) -> str:
        return self._redactor.redact(str(line))
