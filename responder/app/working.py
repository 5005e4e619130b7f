"""What a running responder does: its workers and chores, started in order and stopped in reverse, until a signal."""

import asyncio
import gc
import math
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from responder import __version__
from responder.act.actor import CLAIM, Actor
from responder.app import ServeOptions, read_settings
from responder.app.brakes import BrakeWatch
from responder.app.live import StoreClock
from responder.app.masked import Curtain
from responder.app.parts import docs_of, parser_of, privacy_of
from responder.app.replicas import shared_pace, shared_wake
from responder.app.runtime import Runtime
from responder.decide.decider import CLAIM as DELIVERIES
from responder.decide.decider import Decider
from responder.domain.errors import Unavailable
from responder.domain.verdicts import BY_CONFIGURATION, Verdict
from responder.housekeeping import Housekeeper
from responder.ports.wake import Queue
from responder.telemetry import Metrics, Redactor, Telemetry, configure_logging, log_last_words
from responder.tell.courier import BATCH, Courier
from responder.tell.enrich import AT_ONCE
from responder.worker import Worker

POLL_SECONDS: Mapping[Queue, float] = {"deliveries": 0.5, "runs": 0.25, "outbox": 0.25, "looks": 0.5}
"""How long each queue waits for a wake-up; a lost one costs that much."""
LEAST_SECONDS: Mapping[Queue, float] = {"deliveries": 0.01, "runs": 0.01, "outbox": 0.1, "looks": 0.1}
"""How soon after a look that left nothing the next one comes: what is told a moment later is told together."""
ALLOCATIONS = 20_000
"""So many new containers, and garbage is looked for: at Python's 700 that is another tenth of the cost of a turn."""


@asynccontextmanager
async def started(runtime: Runtime) -> AsyncIterator[None]:
    """Open the store, load everything, take turns; leaving the block stops claiming, ends the turns and closes."""
    redis, on_fact = runtime.settings.redis, runtime.on_fact
    async with shared_pace(redis, runtime.pace, on_fact) as runtime.pace, opened(runtime), AsyncExitStack() as stack:
        runtime.wake = await stack.enter_async_context(shared_wake(redis, runtime.wake, on_fact))
        await _workers(runtime, stack)
        keeper = Housekeeper(
            runtime.store,
            runtime.on_fact,
            lambda: runtime.settings.retention,
            page=runtime.page,
            page_after=lambda: runtime.rules.page_after,
            reconcile=runtime.reconciler().look,
            heads=lambda: runtime.heads,
        )
        keeper.start()
        watch = BrakeWatch(runtime.brakes, runtime.store, runtime.on_fact)
        watch.start()
        stack.push_async_callback(watch.stop)
        stack.push_async_callback(keeper.stop)
        watcher = asyncio.create_task(runtime.watch(), name="watch files")
        stack.callback(watcher.cancel)
        yield


@asynccontextmanager
async def opened(runtime: Runtime) -> AsyncIterator[None]:
    """Open the store and load everything; leaving the block closes what was opened. Nothing takes turns yet."""
    async with AsyncExitStack() as stack:
        runtime.store.listen(runtime.on_fact)
        try:
            await runtime.store.open()
        except Unavailable as error:
            raise Unavailable(f"{error}; it is {runtime.settings.store.place}") from error
        stack.push_async_callback(runtime.store.close)
        await runtime.adopt(runtime.settings)
        # A brake of the last process's environment went with it, and nobody could say that it was lifted.
        await runtime.store.kick((Verdict.PAUSED, Verdict.HALTED, *BY_CONFIGURATION))
        stack.push_async_callback(_close_tools, runtime)
        yield


async def _close_tools(runtime: Runtime) -> None:
    await runtime.close_retired(math.inf)
    await runtime.tools.current.close()
    await runtime.witness.current.close()
    for close in runtime.channels.closers:
        await close()


async def _workers(runtime: Runtime, stack: AsyncExitStack) -> None:
    """Start one worker for each queue that is this process's; they stop before what they started is waited for."""
    actor = Actor(runtime.engine())
    courier = Courier(
        runtime.store,
        StoreClock(runtime.store),
        runtime.notifiers,
        docs_of=docs_of(runtime.shelf.known),
        external_url=runtime.settings.external_url,
        on_fact=runtime.on_fact,
        on_free=lambda: runtime.wake.notify("outbox"),
        storm=runtime.storm,
        veil=Curtain(runtime.redactor),
        way=runtime.way,
        pager=runtime.pager,
        pictures=runtime.pictures,
        early=runtime.early,
    )
    decider = Decider(
        runtime.store,
        lambda: runtime.shelf.library,
        lambda: runtime.rules,
        parser_of(lambda: runtime.settings),
        on_fact=runtime.on_fact,
        wake=runtime.wake,
    )
    enricher = runtime.enricher()
    if "runs" in runtime.queues:
        runtime.way.behind = lambda: actor.behind or decider.behind
    stack.push_async_callback(courier.drain)
    stack.push_async_callback(enricher.drain)
    stack.push_async_callback(actor.drain)
    turns: tuple[tuple[Queue, Callable[[], Awaitable[int]], int], ...] = (
        ("outbox", courier.turn, BATCH),
        ("looks", enricher.turn, AT_ONCE),
        ("runs", actor.turn, CLAIM),
        ("deliveries", decider.turn, DELIVERIES),
    )
    for queue, turn, full in (one for one in turns if one[0] in runtime.queues):
        worker = Worker(
            queue, turn, runtime.wake, runtime.on_fact, POLL_SECONDS[queue], full=full, least=LEAST_SECONDS[queue]
        )
        worker.start()
        stack.push_async_callback(worker.stop)
    stack.callback(runtime.way.close)


async def run(options: ServeOptions) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    redactor = Redactor()
    configure_logging(options.log_level, options.log_format, redactor)
    log_last_words()
    settings = read_settings(options.config_file, options.flags())
    redactor.learn(settings.secrets)
    redactor.configure(privacy_of(settings))
    telemetry = Telemetry(Metrics())
    runtime = Runtime(options, settings, telemetry, redactor)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    reloads: set[asyncio.Task[str]] = set()

    def reload() -> None:
        task = asyncio.create_task(runtime.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    from responder.app.serving import bound

    async with bound(runtime) as web, started(runtime), web.serving():
        # Libraries and playbooks stay: walking through them at each collection was a tenth of the cost of an alert.
        gc.freeze()
        gc.set_threshold(ALLOCATIONS)
        gc.enable()
        runtime.on_fact("reload", ok=True, digest=settings.digest)
        runtime.on_fact("started", version=__version__, role=options.role, listen=list(options.listen))
        await stop.wait()
        runtime.on_fact("stopping")
    runtime.on_fact("stopped")
    return 0
