"""How much is measured: enough for figures, or next to nothing for a test that everything still runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """``seconds`` of load for a figure, ``warm`` before it; the rest are counts and rates.

    ``webhooks`` are the numbers of alerts in a webhook that are tried; ``rounds`` how often ours and the ceiling take
    turns where both move with the machine.
    """

    seconds: float = 15.0
    warm: float = 2.0
    fingerprints: int = 20_000
    playbooks: int = 30
    deliveries: int = 10_000
    runs: int = 600
    latency_rate: int = 50
    latency_seconds: float = 20.0
    starts: int = 5
    webhooks: tuple[int, ...] = (1, 10, 50)
    rounds: int = 3


NORMAL = Sizes()
LONG = Sizes(seconds=60.0, latency_seconds=60.0, runs=10_000, deliveries=50_000)
TINY = Sizes(
    seconds=0.5,
    warm=0.1,
    fingerprints=200,
    playbooks=3,
    deliveries=200,
    runs=8,
    latency_rate=20,
    latency_seconds=0.5,
    starts=1,
    webhooks=(50,),
    rounds=1,
)
