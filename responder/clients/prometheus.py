"""Prometheus' HTTP API, read only. What cannot be understood is an error, never "no data"."""

import json
import math
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import aiohttp
from pydantic import JsonValue

from responder.clients.sessions import new_session, plainly
from responder.domain.errors import Permanent, Temporary
from responder.ports.tools import Range, Series

TIMEOUT_SECONDS = 5.0
LIMIT = 2_000
"""More series than this answer a question that nobody asked."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Enough for LIMIT series with long labels, and for the rules of one name where the server filters by name."""


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
            raise Temporary(_NOT_UNDERSTOOD)
        result, kind = data.get("result"), data.get("resultType")
        if kind in ("scalar", "string") and isinstance(result, list):
            return (_series({}, result),)
        if kind != "vector" or not isinstance(result, list):
            msg = f"the query gives a {kind}, not a number per series; use an instant expression"
            raise Permanent(msg)
        if len(result) > LIMIT:
            msg = f"the query gives {len(result)} series; aggregate it"
            raise Permanent(msg)
        # A native histogram has no "value": it is data, but no number.
        return tuple(_series(row.get("metric"), row.get("value")) for row in _mappings(result))

    async def over(self, expression: str, start: datetime, end: datetime, step: timedelta) -> tuple[Range, ...]:
        """See ``ports.tools.Prometheus.over``."""
        bounds = {"start": f"{start.timestamp():.3f}", "end": f"{end.timestamp():.3f}"}
        asked = {"query": expression, **bounds, "step": f"{step.total_seconds():g}", "timeout": f"{TIMEOUT_SECONDS:g}s"}
        data = await self._get("query_range", asked)
        if not isinstance(data, dict) or data.get("resultType") != "matrix":
            raise Temporary(_NOT_UNDERSTOOD)
        rows = _mappings(data.get("result"))
        if len(rows) > LIMIT:
            msg = f"the query gives {len(rows)} series; aggregate it"
            raise Permanent(msg)
        return tuple(_range(row.get("metric"), row.get("values")) for row in rows)

    async def rule_expressions(self, alertname: str) -> tuple[str, ...]:
        """See ``ports.tools.Prometheus.rule_expressions``."""
        return await self._expressions("alert", alertname)

    async def recorded(self, name: str) -> tuple[str, ...]:
        """See ``ports.tools.Prometheus.recorded``."""
        return await self._expressions("record", name)

    async def _expressions(self, kind: str, name: str) -> tuple[str, ...]:
        """Return the queries of the rules with a name; old servers ignore the name asked for: it is checked."""
        data = await self._get("rules", {"type": kind, "rule_name[]": name})
        if not isinstance(data, dict):
            raise Temporary(_NOT_UNDERSTOOD)
        groups = data.get("groups")
        rules = [rule for group in _mappings(groups) for rule in _mappings(group.get("rules"))]
        return tuple(str(rule["query"]) for rule in rules if rule.get("name") == name and "query" in rule)

    async def _get(self, path: str, parameters: Mapping[str, str]) -> JsonValue:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            self._session = new_session(timeout, limit=16, tls=self._tls, headers=self._headers)
        try:
            async with self._session.get(
                f"{self._url}/api/v1/{path}", params=parameters, proxy=self._proxy, allow_redirects=False
            ) as response:
                status, body = response.status, await _bounded(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            msg = f"Prometheus cannot be asked: {plainly(error)}"
            raise Temporary(msg) from error
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            msg = f"Prometheus answered {status} and no JSON: is this its URL, without a path to a page?"
            raise Temporary(msg) from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            reason = answer.get("error", "") if isinstance(answer, dict) else ""
            msg = f"Prometheus answered {status}: {str(reason)[:200]}"
            raise (Permanent if status in (400, 422) else Temporary)(msg)
        data: JsonValue = answer.get("data")
        return data


_NOT_UNDERSTOOD = "Prometheus' answer cannot be understood: is something else at this URL?"


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            msg = f"the answer is longer than {MAX_ANSWER_BYTES} bytes"
            raise aiohttp.ClientPayloadError(msg)
    return b"".join(chunks)


def _mappings(value: JsonValue) -> list[dict[str, JsonValue]]:
    """Return the items of a list of objects, none for null; raises Temporary when it is anything else."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Temporary(_NOT_UNDERSTOOD)
    return [item for item in value if isinstance(item, dict)]


def _range(metric: object, values: object) -> Range:
    found = [_series(metric, value) for value in values] if isinstance(values, list) else []
    labels = {str(k): str(v) for k, v in metric.items()} if isinstance(metric, dict) else {}
    return Range(labels, tuple((one.at, one.value) for one in found))


def _series(metric: object, value: object) -> Series:
    labels = {str(k): str(v) for k, v in metric.items()} if isinstance(metric, dict) else {}
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - [time, "value"]
        return Series(labels, math.nan, datetime.now(UTC))
    try:
        at = datetime.fromtimestamp(float(value[0]), UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise Temporary(_NOT_UNDERSTOOD) from error
    return Series(labels, _number(value[1]), at)


def _number(text: object) -> float:
    """Sample values are strings on the wire: ``"500"``, ``"NaN"``, ``"+Inf"``."""
    try:
        return float(str(text))
    except ValueError:
        return math.nan
