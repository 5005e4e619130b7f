"""``/-/healthy``, ``/-/ready``, ``POST /-/reload`` and ``/metrics``, as in Prometheus."""

import asyncio
from collections import Counter
from collections.abc import Iterator

from aiohttp import web

from responder.domain.errors import StoreError
from responder.web.auth import require
from responder.web.parts import PARTS, Parts, Refused, unavailable

READY_SECONDS = 2.0
"""How long the store may take to show that it lives."""


async def healthy(_request: web.Request) -> web.Response:
    """Say that the process lives."""
    return web.Response(text="OK\n")


async def ready(request: web.Request) -> web.Response:
    """Say whether alerts would be accepted now."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            why_not = await request.app[PARTS].ready()
    except TimeoutError:
        why_not = "the store does not answer in time"
    except StoreError as error:
        why_not = str(error)
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
    stale = {one["file"] for one in parts.playbooks() if one.get("stale")}
    errors = Counter(str(one["file"]) for one in parts.complaints() if one.get("severity") == "error")
    for file, count in errors.items():
        instead = "its last good version stays in use" if file in stale else "it is not in use"
        yield f"{file}: {count} error(s), {instead}; see: responder check {file}"


async def metrics(request: web.Request) -> web.Response:
    """Give the metrics; credentials are needed once users are configured, as in the exporter-toolkit."""
    parts = request.app[PARTS]
    if parts.web_config.current.users:
        await require(request, "viewer")
    text, content_type = await asyncio.to_thread(parts.render_metrics)
    return web.Response(body=text, headers={"Content-Type": content_type})
