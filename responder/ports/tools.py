"""What actions and probes reach the world with: thin clients, chosen by name from the configuration."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a service answered: 2xx only, everything else is an error of the tree."""

    status: int
    body: JsonValue
    etag: str


Gate = Callable[[], Awaitable[None]]
"""Awaited before a change leaves; what it raises is raised, and nothing was sent."""


class HttpService(Protocol):
    """A configured service: base URL, allow-list, credentials, deadline; no redirects, no other hosts."""

    @property
    def idempotent(self) -> bool:
        """Whether it is known to do nothing a second time under the same Idempotency-Key."""
        ...

    async def call(
        self,
        method: str,
        path: str,
        json: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        gate: Gate | None = None,
    ) -> HttpReply:
        """Send one request once and return the JSON answer.

        A request that changes something passes ``gate`` when its connection stands, before its first byte.

        Raises Permanent when the allow-list or the service refuses (4xx), Temporary when it certainly did not happen
        (connection refused, 409, 429), Uncertain when it may have (timeout, reset, 5xx after sending).
        """
        ...


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an instant query: its labels, its value (may be NaN) and when it was evaluated (not sampled)."""

    labels: Mapping[str, str]
    value: float
    at: datetime


class Prometheus(Protocol):
    """One configured Prometheus."""

    async def query(self, expression: str) -> tuple[Series, ...]:
        """Evaluate an instant query; a scalar is one series without labels.

        Raises Temporary when it cannot be reached in time, Permanent when it refuses the expression.
        """
        ...

    async def rule_expressions(self, alertname: str) -> tuple[str, ...]:
        """Return the expressions of the alerting rules with this name."""
        ...

    async def recorded(self, name: str) -> tuple[str, ...]:
        """Return the expressions of the recording rules that write the metric ``name``."""
        ...


class Tools(Protocol):
    """The tool box handed to actions and probes."""

    def http(self, name: str) -> HttpService:
        """Return the named service; raises Permanent with the known names when there is none."""
        ...

    def prometheus(self, labels: Mapping[str, str]) -> Prometheus:
        """Return the Prometheus that answers for an alert with these labels; raises Permanent when none does."""
        ...
