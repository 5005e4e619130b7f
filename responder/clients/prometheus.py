"""Prometheus' HTTP API, read only."""

import math
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime

import aiohttp
from pydantic import JsonValue

from responder.domain.errors import Permanent, Temporary
from responder.ports.tools import Series

TIMEOUT_SECONDS = 5.0
LIMIT = 2_000
"""More series than this answer a question that nobody asked."""


class PrometheusClient:
    """One configured Prometheus (or what speaks its API)."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        """``headers`` carry the credentials."""
        self._proxy = proxy
        self._url = url.rstrip("/")
        self._headers = dict(headers or {})
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()

    async def query(self, expression: str) -> tuple[Series, ...]:
        """See ``ports.tools.Prometheus.query``."""
        data = await self._get("query", {"query": expression, "timeout": f"{TIMEOUT_SECONDS:g}s"})
        if not isinstance(data, dict):
            return ()
        result, kind = data.get("result"), data.get("resultType")
        if kind in ("scalar", "string") and isinstance(result, list):
            return (_series({}, result),)
        if kind != "vector" or not isinstance(result, list):
            msg = f"the query gives a {kind}, not a number per series; use an instant expression"
            raise Permanent(msg)
        if len(result) > LIMIT:
            msg = f"the query gives {len(result)} series; aggregate it"
            raise Permanent(msg)
        return tuple(_series(row["metric"], row["value"]) for row in result if isinstance(row, dict) and "value" in row)

    async def rule_expressions(self, alertname: str) -> tuple[str, ...]:
        """See ``ports.tools.Prometheus.rule_expressions``; old servers ignore the name asked for: it is checked."""
        data = await self._get("rules", {"type": "alert", "rule_name[]": alertname})
        groups = data.get("groups") if isinstance(data, dict) else None
        rules = [rule for group in _mappings(groups) for rule in _mappings(group.get("rules"))]
        return tuple(str(rule["query"]) for rule in rules if rule.get("name") == alertname and "query" in rule)

    async def _get(self, path: str, parameters: Mapping[str, str]) -> JsonValue:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=16, ssl=self._tls if self._tls is not None else True),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.get(
                f"{self._url}/api/v1/{path}", params=parameters, proxy=self._proxy
            ) as response:
                answer = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            msg = f"Prometheus cannot be asked: {str(error) or type(error).__name__}"
            raise Temporary(msg) from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            reason = answer.get("error", "") if isinstance(answer, dict) else ""
            msg = f"Prometheus answered {status}: {str(reason)[:200]}"
            raise (Permanent if status in (400, 422) else Temporary)(msg)
        data: JsonValue = answer.get("data")
        return data


def _mappings(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _series(metric: object, value: object) -> Series:
    labels = {str(k): str(v) for k, v in metric.items()} if isinstance(metric, dict) else {}
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - [time, "value"]
        return Series(labels, math.nan, datetime.now(UTC))
    return Series(labels, _number(value[1]), datetime.fromtimestamp(float(value[0]), UTC))


def _number(text: object) -> float:
    """Sample values are strings on the wire: ``"500"``, ``"NaN"``, ``"+Inf"``."""
    try:
        return float(str(text))
    except ValueError:
        return math.nan
