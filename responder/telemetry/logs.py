"""Logs: one line a fact, JSON or logfmt, on stderr; other libraries' lines take the same way, and so do last words."""

import logging
import sys
import threading
from collections.abc import MutableMapping
from types import TracebackType
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
    after: list[structlog.typing.Processor] = [_Masked(_renderer(log_format), redactor)]
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


class _Masked:
    """Renders a line without secrets: no field, message or traceback is forgotten.

    The finished line is looked through once. Only where there is something in it the fields are masked one by one,
    which leaves the line what it is, and it is rendered again.
    """

    def __init__(self, render: structlog.typing.Processor, redactor: Redactor) -> None:
        self._render = render
        self._redactor = redactor

    def __call__(self, logger: Any, method: str, fields: MutableMapping[str, Any]) -> str:  # noqa: ANN401 - structlog's
        kept = dict(fields)
        line = str(self._render(logger, method, fields))
        if self._redactor.clean(line):
            return line
        return self._redactor.known(str(self._render(logger, method, self._redactor.redact_value(kept))))


def log_last_words() -> None:
    """Log what nobody caught, in every thread, and what libraries warn of: Python itself would print it as it is."""
    logging.captureWarnings(capture=True)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        logging.getLogger("responder").critical("uncaught", exc_info=(kind, error, trace))

    def in_thread(said: threading.ExceptHookArgs) -> None:
        if said.exc_value is not None and said.exc_type is not SystemExit:
            uncaught(said.exc_type, said.exc_value, said.exc_traceback)

    def unraisable(said: "sys.UnraisableHookArgs") -> None:
        if said.exc_value is not None:
            uncaught(said.exc_type, said.exc_value, said.exc_traceback)

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable
