"""How many webhooks a second become durable, against a server that reads the body, keeps nothing and says 200.

Twice: by a responder that only receives, as in a storm that comes faster than it can be decided, and by one that
decides meanwhile, in the same process. Ours and the ceiling take turns, and the median of the rounds counts: a shared
machine is not the same a minute later.
"""

from pathlib import Path
from statistics import median

from benchmarks.bodies import bodies
from benchmarks.load import post, write_bodies
from benchmarks.place import Place, module, serving
from benchmarks.playbooks import idle
from benchmarks.report import Goal, Result, Row
from benchmarks.sizes import Sizes
from tests.bed.processes import private_directory

GOALS = {1: Goal("ratio", 0.25), 50: Goal("ratio", 0.3)}
"""Alerts per webhook, and the share of the bare server to be reached."""
RECEIVES = ("benchmarks.accepting",)
DECIDES = ("responder", "serve")


def measure(place: Place, sizes: Sizes) -> Result:
    """Post bodies of each size as fast as they are answered, here and there."""
    rows = []
    with private_directory("bodies") as directory:
        for alerts in sizes.webhooks:
            file = write_bodies(directory / f"{alerts}", bodies(sizes.fingerprints, alerts))
            ceiling, received, decided = _rounds(place, file, sizes)
            what = f"{alerts} alert{'s' * (alerts > 1)} a webhook"
            rows.append(Row(what, received, "webhooks/s", ceiling, GOALS.get(alerts)))
            rows.append(Row("  while it decides", decided, "webhooks/s", ceiling))
    return Result(
        title="intake: webhooks that are on the disk when they are answered",
        rows=rows,
        ceiling="aiohttp, one typed pass over the body, 200; nothing is kept",
        quote=f"{rows[0].figure:,.0f} durable webhooks a second, {rows[0].ratio:.2f} of a bare server "
        f"that keeps nothing; {rows[1].figure:,.0f} while they are decided in the same process",
    )


def _rounds(place: Place, file: Path, sizes: Sizes) -> tuple[float, float, float]:
    """Return the ceiling, what is received, and what is received while it is decided; webhooks a second."""
    seconds = sizes.seconds / 4
    rounds = []
    for _ in range(sizes.rounds):
        ceiling = _bare(file, sizes.warm, seconds)
        rounds.append((ceiling, *(_ours(place, file, sizes, seconds, command) for command in (RECEIVES, DECIDES))))
    ceilings, received, decided = zip(*rounds, strict=True)
    return median(ceilings), median(received), median(decided)


def _bare(file: Path, warm: float, seconds: float) -> float:
    with module("benchmarks.bare") as (url, _):
        post(f"{url}/webhook/alertmanager", file, warm)
        return post(f"{url}/webhook/alertmanager", file, seconds).rate


def _ours(place: Place, file: Path, sizes: Sizes, seconds: float, command: tuple[str, ...]) -> float:
    with place.database() as store, serving(store, "http://127.0.0.1:9", idle(sizes.playbooks), command) as running:
        post(f"{running.url}/webhook/alertmanager", file, sizes.warm)
        load = post(f"{running.url}/webhook/alertmanager", file, seconds)
        assert load.requests > load.refused, f"nothing was accepted: {load}"
        return load.rate
