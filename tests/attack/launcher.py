"""Starts real responders, with their points wrapped, faster than Python can load them.

``python -m tests.attack.launcher`` loads everything once. For each line on stdin (a JSON object, see ``Order``) it
forks; the child is a responder process of its own, which serves until it is killed. Its pid is the answer on stdout.
The responder has no switch for any of this: the composition root is given another store and other tools here.
"""

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

import aiosqlite

from responder import app as root
from responder.app import parts, runtime, serving
from responder.clients.toolbox import Toolbox
from responder.notifiers import console
from responder.ports.brakes import NO_BRAKES, Brakes
from responder.ports.pace import Pace
from responder.ports.store import Store
from responder.settings import Settings
from responder.stores import postgres, registry, sqlite
from responder.stores.core.store import SqlStore
from responder.telemetry import Redactor
from tests.attack.points import Points, WatchedTools, read_plan, watch_channels, watch_store

LOADED = (aiosqlite, console, serving, postgres, sqlite)
"""What a responder loads on first use, loaded before it is forked."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Order:
    """One responder to start: its folder (with responder.yml), its address, its logs and its plan.

    ``plan`` is read at the start and, whenever SIGUSR1 comes, again.
    """

    directory: str
    listen: str
    log: str
    points: str
    plan: str


def main() -> None:
    """Fork a responder for each line."""
    _die_with_parent()
    root.catalogue()  # loads the actions and probes
    gc.collect()
    gc.freeze()  # what is loaded is shared with the children as long as nobody walks through it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended: none of them stays a zombie
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = Order(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            _be(order)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _be(order: Order) -> None:
    """Become a responder; never returns."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _die_with_parent()
        os.setsid()
        _redirect(order.log)
        os.chdir(order.directory)
        points = Points(Path(order.points))
        _wrap(points)
        plan = Path(order.plan)
        points.arm(read_plan(plan))
        signal.signal(signal.SIGUSR1, lambda *_: points.arm(read_plan(plan)))
        options = root.ServeOptions(Path("responder.yml"), listen=(order.listen,))
        code = asyncio.run(root.serve(options))
    except BaseException:  # noqa: BLE001 -- whatever it is, it must not reach the loop of the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _wrap(points: Points) -> None:
    """Hand the composition root a store, tools and channels that meet ``points``."""
    open_store, toolbox, channels_of = registry.open_store, root.toolbox, parts.channels_of

    def opened(url: str, password: str | None = None, brakes: Brakes = NO_BRAKES) -> Store:
        return watch_store(cast("SqlStore", open_store(url, password, brakes)), points)

    def tools(settings: Settings) -> Toolbox:
        return cast("Toolbox", WatchedTools(toolbox(settings), points))

    def channels(settings: Settings, console: TextIO, redactor: Redactor, pace: Pace) -> parts.Channels:
        return watch_channels(channels_of(settings, console, redactor, pace), points)

    vars(runtime).update(open_store=opened, toolbox=tools, channels_of=channels)


def _redirect(log: str) -> None:
    out = os.open(log, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


if __name__ == "__main__":
    main()
