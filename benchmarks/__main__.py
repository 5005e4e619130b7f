"""``python -m benchmarks [name…]``: measure and print a table each; with --strict 1 when a goal was missed."""

import argparse
import contextlib
import importlib
import sys
import time
from collections.abc import Sequence

from benchmarks.pace import REFERENCE, bare_rate
from benchmarks.place import Place
from benchmarks.report import Result
from benchmarks.sizes import LONG, NORMAL, TINY, Sizes

NAMES = ("intake", "through", "latency", "runs", "footprint", "cluster", "accept", "decide", "turns")
"""In the order in which they run: what users meet first, then the parts on their own."""


def measure(name: str, place: Place, sizes: Sizes) -> Result:
    """Run the benchmark ``name``, which is the module with that name."""
    result = importlib.import_module(f"benchmarks.{name}").measure(place, sizes)
    assert isinstance(result, Result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, everything by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(NAMES)}; all without one")
    parser.add_argument("--long", action="store_true", help="a minute for each figure instead of 15 seconds")
    parser.add_argument("--tiny", action="store_true", help="hardly anything: shows that all of it still runs")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal was missed")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    sizes = LONG if given.long else TINY if given.tiny else NORMAL
    missed = 0
    rate = bare_rate()
    pace = rate / REFERENCE
    print(
        f"this machine: a bare server answers {rate:,.0f} webhooks a second, {pace:.2f} of the {REFERENCE:,} on the"
        " machine\nthat the goals for figures were set on; what they come to here stands beside them\n"
    )
    with contextlib.ExitStack() as stack:
        place = Place(stack)
        for name in given.names or NAMES:
            started = time.monotonic()
            result = measure(name, place, sizes)
            print(result.table(pace), flush=True)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
            missed += sum(row.verdict(pace) == "missed" for row in result.rows)
    return int(given.strict and missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
