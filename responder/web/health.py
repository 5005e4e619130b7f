"""``/-/healthy``, ``/-/ready``, ``POST /-/reload`` and ``/metrics``, as in Prometheus."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from aiohttp import web

from responder.domain.errors import StoreError
from responder.web.auth import require
from responder.web.parts import PARTS, Parts, Refused, unavailable

READY_SECONDS = 2.0
"""How long the store may take to show that it lives."""
KEPT_SECONDS = 1.0
"""How long its answer holds."""


class Readiness:
    """Asks the store once for everybody who wants to know meanwhile.

    The question is a write that goes ahead of all work, and takes no credentials: one at a time, a second apart.
    """

    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        """``ask`` returns why not, empty when ready; raises StoreError."""
        self._ask = ask
        self._asked: asyncio.Task[str] | None = None
        self._holds_until = 0.0

    async def why_not(self) -> str:
        """Return why no alert would be accepted now; empty when it would."""
        if self._asked is None or (self._asked.done() and time.monotonic() >= self._holds_until):
            self._asked = asyncio.create_task(self._answer(), name="ready")
        return await asyncio.shield(self._asked)

    async def _answer(self) -> str:
        try:
            async with asyncio.timeout(READY_SECONDS):
                return await self._ask()
        except TimeoutError:
            return "the store does not answer in time"
        except StoreError as error:
            return str(error)
        finally:
            self._holds_until = time.monotonic() + KEPT_SECONDS


READINESS: web.AppKey[Readiness] = web.AppKey("readiness", Readiness)


async def healthy(_request: web.Request) -> web.Response:
    """Say that the process lives."""
    return web.Response(text="OK\n")


async def ready(request: web.Request) -> web.Response:
    """Say whether alerts would be accepted now."""
    why_not = await request.app[READINESS].why_not()
    if why_not:
        raise unavailable(f"not ready: {why_not}", "")
    suspicion = request.app[PARTS].suspicion()
    doubt = f"the store's clock is suspect: {suspicion.why}\n" if suspicion is not None else ""
    return web.Response(text=f"ready\n{doubt}")


async def reload(request: web.Request) -> web.Response:
    """Read the configuration again; a bad one leaves the last good one in force."""
    await require(request, "admin")
    parts = request.app[PARTS]
    wrong = "\n".join(filter(None, [await parts.web_config.refresh(), await parts.reload()]))
    if wrong:
        # 500 as in Prometheus; what is wrong is for those who may reload.
        raise Refused(500, f"the last good configuration stays in force: {wrong}")
    return web.Response(text="\n".join(["reloaded", *_not_taken_over(parts)]) + "\n")


def _not_taken_over(parts: Parts) -> Iterator[str]:
    """Say of each playbook's file that is wrong what is in use instead."""
    stale = {str(one["file"]) for one in parts.playbooks() if one.get("stale")}
    errors = Counter(str(one["file"]) for one in parts.complaints() if one.get("severity") == "error")
    for file, count in errors.items():
        below = any(Path(one).is_relative_to(file) for one in stale if one != file)
        instead = "its last good version stays in use" if file in stale else "it is not in use"
        instead = "what was read below it before stays in use" if below else instead
        yield f"{file}: {count} error(s), {instead}; see: responder check {file}"


async def metrics(request: web.Request) -> web.Response:
    """Give the metrics; credentials are needed once users are configured, as in the exporter-toolkit."""
    parts = request.app[PARTS]
    if parts.web_config.current.users:
        await require(request, "viewer")
    text, content_type = await asyncio.to_thread(parts.render_metrics)
    return web.Response(body=text, headers={"Content-Type": content_type})
