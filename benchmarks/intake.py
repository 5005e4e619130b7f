"""How many webhooks a second become durable, against a server that reads the body, keeps nothing and says 200.

The decider works meanwhile on what has come in, in the same process.
"""

from pathlib import Path

from benchmarks.bodies import bodies
from benchmarks.load import post, write_bodies
from benchmarks.place import Place, module, serving
from benchmarks.playbooks import idle
from benchmarks.report import Goal, Result, Row
from benchmarks.sizes import Sizes
from tests.bed.processes import private_directory

GOALS = {1: Goal("ratio", 0.25), 50: Goal("ratio", 0.3)}
"""Alerts per webhook, and the share of the bare server to be reached."""


def measure(place: Place, sizes: Sizes) -> Result:
    """Post bodies of each size as fast as they are answered, here and there."""
    seconds = sizes.seconds / 3
    rows = []
    with private_directory("bodies") as directory:
        for alerts in sizes.webhooks:
            file = write_bodies(directory / f"{alerts}", bodies(sizes.fingerprints, alerts))
            ceiling = _bare(file, sizes.warm, seconds)
            ours = _ours(place, file, sizes, seconds)
            what = f"{alerts} alert{'s' * (alerts > 1)} a webhook"
            rows.append(Row(what, ours, "webhooks/s", ceiling, GOALS.get(alerts)))
    return Result(
        title="intake: webhooks that are on the disk when they are answered",
        rows=rows,
        ceiling="aiohttp, one typed pass over the body, 200; nothing is kept",
        quote=f"{rows[0].figure:,.0f} durable webhooks a second, {rows[0].ratio:.2f} of a bare server "
        "that keeps nothing",
    )


def _bare(file: Path, warm: float, seconds: float) -> float:
    with module("benchmarks.bare") as (url, _):
        post(f"{url}/webhook/alertmanager", file, warm)
        return post(f"{url}/webhook/alertmanager", file, seconds).rate


def _ours(place: Place, file: Path, sizes: Sizes, seconds: float) -> float:
    with place.database() as store, serving(store, "http://127.0.0.1:9", idle(sizes.playbooks)) as running:
        post(f"{running.url}/webhook/alertmanager", file, sizes.warm)
        load = post(f"{running.url}/webhook/alertmanager", file, seconds)
        assert load.requests > load.refused, f"nothing was accepted: {load}"
        return load.rate
