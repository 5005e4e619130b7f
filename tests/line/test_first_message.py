"""The first message waits for nothing: not for Prometheus, not for what a playbook wants looked at."""

import asyncio
import io
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from aiohttp import web

from responder.app import catalogue
from responder.app.parts import docs_of
from responder.app.working import LEAST_SECONDS, POLL_SECONDS
from responder.clients.toolbox import PrometheusSpec, Toolbox
from responder.decide.decider import Decider
from responder.decide.rules import Rules
from responder.domain.ids import new_id
from responder.intake.formats import parse
from responder.notifiers.console import ConsoleNotifier
from responder.playbook.library import load_library
from responder.playbook.shelf import Shelf
from responder.ports.store import NewDelivery
from responder.ports.wake import Queue
from responder.settings.model_channels import Route
from responder.stores.registry import open_store
from responder.tell.courier import Courier
from responder.tell.enrich import Enricher
from responder.tell.history import history
from responder.worker import LocalWake, Worker
from tests.act_bed import Wall
from tests.bed.alerts import alert, webhook
from tests.bed.stores import embedded
from tests.bed.web import serving

TELLS = """\
name: tells
matchers:
  - alertname=~"A.*"
diagnose:
  - query: up
"""
INCIDENTS, SLOW_SECONDS = 9, 5.0


class Timed(io.StringIO):
    """Notes when each alert is first written about."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, float] = {}
        self.all_told = asyncio.Event()

    def write(self, text: str) -> int:
        for number in range(INCIDENTS):
            if f" A{number} " in f"{text} ".replace("\n", " "):
                self.at.setdefault(f"A{number}", time.monotonic())
        if len(self.at) == INCIDENTS:
            self.all_told.set()
        return super().write(text)


async def test_the_first_message_leaves_within_a_second_however_slow_prometheus_is(tmp_path: Path) -> None:
    asked: list[str] = []

    async def slow(request: web.Request) -> web.Response:
        asked.append(request.path)
        await asyncio.sleep(SLOW_SECONDS)
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": []}})

    app = web.Application()
    app.router.add_get("/api/v1/{rest}", slow)
    out, sent = Timed(), dict[str, float]()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(app))
        store = open_store(embedded(tmp_path / "r.db"))
        await store.open()
        stack.push_async_callback(store.close)
        tools = Toolbox({}, {"default": PrometheusSpec(url, (), {}, lambda: None)})
        stack.push_async_callback(tools.close)
        (tmp_path / "tells.yaml").write_text(TELLS)
        shelf, wake = Shelf(catalogue(), store, store), LocalWake()
        shelf.library = load_library([tmp_path / "tells.yaml"], catalogue(), None, {})
        rules = Rules(routes=(Route(("console:",), incidents="all"),))
        decider = Decider(
            store, lambda: shelf.library, lambda: rules, lambda _, body: parse("alertmanager", body),
            on_fact=lambda *_, **__: None, wake=wake,
        )  # fmt: skip
        courier = Courier(
            store, Wall(store), {"console": ConsoleNotifier(out)},
            docs_of=docs_of(shelf.known), external_url="", on_fact=lambda *_, **__: None,
            on_free=lambda: wake.notify("outbox"),
        )  # fmt: skip
        enricher = Enricher(
            store, store, Wall(store), tools,
            playbook_for=shelf.known, clean=str, on_fact=lambda *_, **__: None,
            looks=(lambda scene: history(tools, scene),),
        )  # fmt: skip
        stack.push_async_callback(courier.drain)
        stack.push_async_callback(enricher.drain)
        queues: tuple[tuple[Queue, Callable[[], Awaitable[int]]], ...] = (
            ("deliveries", decider.turn), ("outbox", courier.turn), ("looks", enricher.turn),
        )  # fmt: skip
        for queue, turn in queues:
            worker = Worker(
                queue, turn, wake, lambda *_, **__: None, POLL_SECONDS[queue], full=8, least=LEAST_SECONDS[queue]
            )
            worker.start()
            stack.push_async_callback(worker.stop)
        for number in range(INCIDENTS):
            name = f"A{number}"
            body = json.dumps(webhook([alert({"alertname": name, "instance": name})])).encode()
            sent[name] = time.monotonic()
            await store.accept([NewDelivery(new_id(), "am", store.now(), body, 1)])
            wake.notify("deliveries")
            await asyncio.sleep(timedelta(milliseconds=100).total_seconds())
        async with asyncio.timeout(10):
            await out.all_told.wait()
        took = sorted(out.at[name] - sent[name] for name in sent)
        assert asked, "nobody has asked Prometheus, so nothing was shown"
        assert statistics.median(took) < 1.0, took
