"""What the web needs of the rest, handed in by the composition root; and the error that becomes an answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from aiohttp import web
from pydantic import JsonValue

from responder.domain.runs import Run
from responder.domain.suspicion import Suspicion
from responder.intake.buffer import ByteBudget, CommittingBuffer
from responder.ports.store import People, QueueDepth
from responder.settings import Settings
from responder.web.web_config import WebConfigFile

JsonObject = Mapping[str, JsonValue]


class OnFact(Protocol):
    """Takes a fact once, to log and to count."""

    def __call__(self, name: str, /, **fields: object) -> None:
        """Note the fact ``name``."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much and how long a request may be; seconds and bytes."""

    headers_seconds: float = 10.0
    body_seconds: float = 30.0
    webhook_bytes: int = 32 * 1024 * 1024
    """A thousand realistic alerts are 0.64 MB (measured); a group of fifty thousand still fits, and more are refused
    (intake/bounds.py)."""
    api_bytes: int = 1024 * 1024
    signed_bytes: int = 256 * 1024
    """Of what Slack and PagerDuty send: a pressed button comes with its message, which is far smaller."""
    idle_seconds: float = 330.0
    """Alertmanager keeps idle connections for 300 s: it must be the one who closes."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the handlers use. What a reload may change comes as a function."""

    settings: Callable[[], Settings]
    people: People
    intake: CommittingBuffer
    now: Callable[[], datetime]
    """The store's clock."""
    on_fact: OnFact
    render_metrics: Callable[[], tuple[bytes, str]]
    """The metrics and their content type; called in a thread."""
    ready: Callable[[], Awaitable[str]]
    """Why not ready; empty when ready."""
    reload: Callable[[], Awaitable[str]]
    """Read the configuration again; what is wrong with it, empty when it is in use."""
    depths: Callable[[], Awaitable[Mapping[str, QueueDepth]]]
    playbooks: Callable[[], Sequence[JsonObject]]
    """The playbooks as the API lists them; each has at least ``name``."""
    complaints: Callable[[], Sequence[JsonObject]]
    """What is wrong in the playbooks' files: ``file``, ``line``, ``column``, ``severity``, ``message``, ``hint``."""
    approvers: Callable[[Run], Awaitable[Sequence[str]]]
    """Who may answer for a run: ``role:operator``, ``user:NAME``, ``slack:@GROUP``."""
    explain: Callable[[Mapping[str, str]], JsonObject]
    """What would happen to an alert with these labels now; joins the answer of ``/api/v1/explain``."""
    report: Callable[[Mapping[str, str]], Awaitable[JsonObject]]
    """The answer of ``/api/v1/report``; raises ValueError for parameters it does not know."""
    verify: Callable[[], Awaitable[JsonObject]]
    """What a look at the whole audit log came to: ``problems``, and what was compared."""
    web_config: WebConfigFile
    version: str
    role: str
    started_at: datetime
    mask: Callable[[JsonValue], JsonValue] = lambda value: value
    """Returns an answer without what nobody is to see: secrets, personal data, hidden labels."""
    suspicion: Callable[[], Suspicion | None] = lambda: None
    """Why the store's clock is doubted, None when it is trusted."""
    bounds: Bounds = field(default_factory=Bounds)
    unproven: ByteBudget = field(default_factory=lambda: ByteBudget(8 * 1024 * 1024))
    """For bodies of Slack and PagerDuty, which are read before anybody knows who sends them: they may come from
    anywhere, and must not take the room of alerts."""
    unproven_webhooks: ByteBudget = field(default_factory=lambda: ByteBudget(32 * 1024 * 1024))
    """For bodies of webhooks that nothing but their signature proves: the largest one fits, once."""

    @property
    def budget(self) -> ByteBudget:
        """Where bodies are reserved: intake counts those on that it still holds when their senders have gone."""
        return self.intake.budget


PARTS: web.AppKey[Parts] = web.AppKey("parts", Parts)


class Refused(Exception):
    """A request is answered with an error: ``status``, what is wrong and how to mend it. Never holds a secret."""

    def __init__(self, status: int, error: str, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Answer ``status``."""
        super().__init__(error)
        self.status = status
        self.error = error
        self.hint = hint
        self.headers = dict(headers or {})


RETRY_AFTER = timedelta(seconds=5)


def unavailable(error: str, hint: str = "send it again in a few seconds") -> Refused:
    """Return the answer for what may succeed soon: Alertmanager retries a 503 within seconds, a 429 only later."""
    return Refused(503, error, hint, {"Retry-After": f"{RETRY_AFTER.total_seconds():.0f}"})
