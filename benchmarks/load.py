"""Load over HTTP: ``wrk`` with a script of ours where it is installed, aiohttp in a process of its own where not."""

import argparse
import asyncio
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.place import ROOT
from tests.process_bed import WEBHOOK_TOKEN

CONNECTIONS = 32
_SCRIPT = Path(__file__).with_name("post.lua")
_TOLERANCE = 30
"""Seconds that a generator may take beyond its load before it counts as hung."""


@dataclass(frozen=True, slots=True)
class Load:
    """What was sent: answers of any kind, the seconds they took, those that were not 2xx, and lost connections."""

    requests: int
    seconds: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """2xx answers per second."""
        return max(0, self.requests - self.refused) / self.seconds


def write_bodies(path: Path, bodies: Iterable[bytes]) -> Path:
    """Write one body a line, for ``post``."""
    with path.open("wb") as file:
        file.writelines(body + b"\n" for body in bodies)
    return path


def post(url: str, bodies: Path, seconds: float, rate: int = 0) -> Load:
    """Post bodies for a time, ``rate`` requests a second; 0: as fast as the answers come."""
    if shutil.which("wrk"):
        argv: list[str | Path] = [
            "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
            "-s", _SCRIPT, url, "--", bodies, WEBHOOK_TOKEN, str(rate),
        ]  # fmt: skip
    else:
        argv = [sys.executable, "-m", "benchmarks.load", url, bodies, str(seconds), str(rate)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds + _TOLERANCE)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            requests, microseconds, refused, broken = map(int, line.split()[1:])
            return Load(requests, microseconds / 1e6, refused, broken)
    message = f"the load generator ended with {done.returncode}\n{done.stdout}{done.stderr}"
    raise RuntimeError(message)


async def _generate(url: str, bodies: list[bytes], seconds: float, rate: float) -> Load:
    headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}", "Content-Type": "application/json"}
    supply = itertools.cycle(bodies)
    sent, refused, broken = itertools.count(1), 0, 0
    requests = 0
    started = time.monotonic()

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal requests, refused, broken
        while time.monotonic() - started < seconds:
            if rate:
                await asyncio.sleep(max(0.0, started + next(sent) / rate - time.monotonic()))
            try:
                async with session.post(url, data=next(supply), headers=headers) as answer:
                    await answer.read()
                    requests += 1
                    refused += answer.status >= 300
            except (aiohttp.ClientError, TimeoutError):
                broken += 1

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))
    return Load(requests, time.monotonic() - started, refused, broken)


def main() -> None:
    """Generate load and print its result as post.lua does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("rate", type=float)
    given = parser.parse_args()
    bodies = given.bodies.read_bytes().splitlines()
    load = asyncio.run(_generate(given.url, bodies, given.seconds, given.rate))
    print(f"RESULT {load.requests} {load.seconds * 1e6:.0f} {load.refused} {load.broken}")


if __name__ == "__main__":
    main()
