"""What a responder that does nothing costs in memory, and how long ``responder check`` takes on many playbooks."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.place import ROOT, Place, resident_mb, serving
from benchmarks.playbooks import idle
from benchmarks.report import Goal, Result, Row
from benchmarks.sizes import Sizes
from tests.bed.processes import private_directory, start

_LIBRARIES = "import aiohttp.web, asyncpg, pydantic, sqlalchemy.ext.asyncio, prometheus_client, yaml"
_IDLE = f"{_LIBRARIES}; print('ready', flush=True); import time; time.sleep(60)"
_CHECK = "import pydantic, yaml, typer"
SETTLE_SECONDS = 3.0
"""After this long what the start took has been given back or never will be."""


def measure(place: Place, sizes: Sizes) -> Result:
    """Start a responder and let it be; check the same playbooks from the command line, the best of some starts."""
    playbooks = idle(sizes.playbooks)
    with place.database() as store, serving(store, "http://127.0.0.1:9", playbooks) as running:
        time.sleep(min(SETTLE_SECONDS, sizes.seconds))
        assert running.child is not None
        memory = resident_mb(running.child.pid)
    with private_directory("check") as directory:
        for file, text in playbooks.items():
            (directory / file).write_text(text, encoding="utf-8")
        check = min(_seconds(["-m", "responder", "check", "--syntax-only", directory]) for _ in range(sizes.starts))
    start_up = min(_seconds(["-c", _CHECK]) for _ in range(sizes.starts))
    rows = [
        Row("resident, idle", memory, "MB", _libraries_mb(), Goal("most", 120)),
        Row(f"check, {len(playbooks)} playbooks", check, "s", start_up, Goal("most", 0.6)),
    ]
    return Result(
        title="footprint: memory at rest, and how long a check takes",
        rows=rows,
        ceiling="Python with the same libraries imported; Python importing pydantic, PyYAML and Typer",
        quote=f"{memory:.0f} MB at rest; `responder check` reads {len(playbooks)} playbooks in {check:.2f} s",
    )


def _seconds(arguments: list[str | Path]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def _libraries_mb() -> float:
    with private_directory("libraries") as directory:
        child = start("libraries", [sys.executable, "-c", _IDLE], directory=directory)
        try:
            child.wait_until(lambda: "ready" in child.output())
            return resident_mb(child.pid)
        finally:
            child.stop()
