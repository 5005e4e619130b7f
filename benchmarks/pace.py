"""How fast this machine is, beside the one on which the goals were set."""

from benchmarks.bodies import bodies
from benchmarks.load import post, write_bodies
from benchmarks.place import module
from tests.bed.processes import private_directory

REFERENCE = 25_000
"""Webhooks of one alert a second that the bare server answered there, with the load generator on the other core."""
_WARM, _SECONDS = 1.0, 3.0


def bare_rate() -> float:
    """Return how many webhooks of one alert a second the bare server answers here."""
    with private_directory("pace") as directory, module("benchmarks.bare") as (url, _):
        file = write_bodies(directory / "1", bodies(1000, 1))
        post(f"{url}/webhook/alertmanager", file, _WARM)
        return post(f"{url}/webhook/alertmanager", file, _SECONDS).rate
