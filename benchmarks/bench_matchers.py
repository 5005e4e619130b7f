"""How long it takes to find the playbooks that fit an alert, among 1,000 and among 10,000.

Ceiling: 20 µs per alert at 1,000 playbooks, and about the same at 10,000.
"""

import argparse
import random
import time

from responder.language.index import MatcherIndex
from responder.language.matchers import Matcher, parse_matchers

_CEILING_US = 20.0


def playbook(number: int) -> list[tuple[Matcher, ...]]:
    """One playbook's matchers: mostly by alert name, some by expression, some by severity with an expression."""
    by_name = f'alertname="Alert{number}", severity=~"warning|critical", namespace!~"kube-.*"'
    by_team = f'alertname=~"Alert{number % 97}|Other{number}", team="team-{number % 50}"'
    by_expression = f'severity="critical", alertname=~"Disk{number}-.*", env!="test"'
    return [parse_matchers((by_name, by_name, by_name, by_name, by_team, by_expression)[number % 6])]


def alert(number: int, spread: int) -> dict[str, str]:
    """One alert's labels, of the size that kube-prometheus sends."""
    return {
        "alertname": random.choice((f"Alert{number % spread}", f"Disk{number % spread}-full", "Watchdog")),  # noqa: S311 - no secret
        "severity": random.choice(("warning", "critical", "info")),  # noqa: S311 - no secret
        "namespace": f"shop-{number % 30}",
        "team": f"team-{number % 60}",
        "pod": f"api-{number}",
        "env": "prod",
        "cluster": "eu",
        "job": "kube-state-metrics",
        "instance": f"10.0.0.{number % 250}:8080",
    }


def measure(playbooks: int, alerts: int) -> float:
    """Microseconds per alert, the best of five rounds."""
    index = MatcherIndex((number, playbook(number)) for number in range(playbooks))
    sample = [alert(number, playbooks) for number in range(alerts)]
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for labels in sample:
            index.find(labels)
        best = min(best, time.perf_counter() - started)
    return best / alerts * 1e6


def main() -> int:
    """Print one line per size; 1 when the ceiling is broken at 1,000."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=2_000)
    arguments = parser.parse_args()
    random.seed(7)
    results = {size: measure(size, arguments.alerts) for size in (1_000, 10_000)}
    for size, microseconds in results.items():
        print(f"{size:>6,} playbooks: {microseconds:6.1f} µs per alert (ceiling {_CEILING_US:.0f})")
    return int(results[1_000] > _CEILING_US)


if __name__ == "__main__":
    raise SystemExit(main())
