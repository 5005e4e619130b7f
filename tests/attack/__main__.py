"""``python -m tests.attack NAME``: attack a real responder and print one line to quote; 1 when something was wrong."""

import argparse
import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence

from tests.attack import (
    chaos,
    clusters,
    crash,
    databases,
    fuzz,
    guards,
    machines,
    model,
    pause,
    resume,
    seeds,
    soak,
    storm,
    tell_storm,
    telling,
    wards,
)
from tests.attack.scenarios import SCENARIOS
from tests.bed.postgres import private_cluster

_KINDS = databases.KINDS | machines.KINDS
_FAR = [one for kind in _KINDS.values() for one in kind.scenarios]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    campaigns = parser.add_subparsers(dest="campaign", required=True)
    crashing = campaigns.add_parser("crash", help="die at every point of every scenario, on SQLite and PostgreSQL")
    crashing.add_argument("--every", type=int, default=1, help="only each n-th case, for a shorter campaign")
    crashing.add_argument("--effects", action="store_true", help="only at effects, and next to them")
    crashing.add_argument(
        "--scenario",
        action="append",
        default=[],
        choices=[one.name for one in (*SCENARIOS, *_FAR, *clusters.SCENARIOS)],
        help="only this one",
    )
    fuzzing = campaigns.add_parser("fuzz", help="nonsense for whatever reads text from outside")
    fuzzing.add_argument("--cases", type=int, default=1_000_000)
    fuzzing.add_argument("--seed", type=int, default=1)
    fuzzing.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    campaigns.add_parser("chaos", help="five misfortunes under load")
    pausing = campaigns.add_parser("pause", help="pull the brake while a hundred runs are ready on two replicas")
    pausing.add_argument("--runs", type=int, default=pause.RUNS)
    pausing.add_argument("--rounds", type=int, default=pause.ROUNDS, help="pauses, at most")
    resuming = campaigns.add_parser("resume", help="ten thousand unfinished runs after kill -9")
    resuming.add_argument("--runs", type=int, default=resume.RUNS)
    resuming.add_argument("--stores", nargs="+", default=["postgresql", "sqlite"], choices=["postgresql", "sqlite"])
    soaking = campaigns.add_parser("soak", help="a steady load with a fault every twenty seconds")
    soaking.add_argument("--seconds", type=float, default=600)
    soaking.add_argument("--rate", type=float, default=soak.RATE, help="webhooks a second")
    storming = campaigns.add_parser("storm", help="a hundred thousand alerts in a minute")
    storming.add_argument("--alerts", type=int, default=storm.ALERTS)
    storming.add_argument("--seconds", type=float, default=storm.SECONDS)
    tells = campaigns.add_parser("telling", help="die wherever somebody is told something")
    tells.add_argument("--every", type=int, default=1, help="only each n-th case, for a shorter campaign")
    tells.add_argument("--stores", nargs="+", default=["sqlite", "postgresql"], choices=["postgresql", "sqlite"])
    telling_all = campaigns.add_parser("tell-storm", help="two thousand incidents in a minute, in twenty channels")
    telling_all.add_argument("--incidents", type=int, default=tell_storm.INCIDENTS)
    telling_all.add_argument("--channels", type=int, default=tell_storm.CHANNELS)
    telling_all.add_argument("--seconds", type=float, default=tell_storm.SECONDS)
    telling_all.add_argument("--rounds", type=int, default=tell_storm.ROUNDS)
    telling_all.add_argument("--one", action="store_true", help="one process acts and tells, not two")
    sowing = campaigns.add_parser("seeds", help="simulated days on a clock of our own")
    sowing.add_argument("--first", type=int, default=1)
    sowing.add_argument("--count", type=int, default=20_000)
    sowing.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    sowing.add_argument("--seconds", type=float, default=math.inf, help="end after so long, whatever was played")
    telling = campaigns.add_parser("model", help="the specification beside the real thing, through made-up stories")
    telling.add_argument("--stories", type=int, default=2_000)
    telling.add_argument("--steps", type=int, default=20, help="happenings in each")
    telling.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    breaking = campaigns.add_parser("guards", help="break each guard, and see a test fail that holds it")
    breaking.add_argument("words", nargs="*", help="only the guards with one of these in their names")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    wrong = _CAMPAIGNS[given.campaign](given)
    _say(f"{given.campaign}: {time.monotonic() - began:.0f} s")
    return int(wrong)


def _crash(given: argparse.Namespace) -> bool:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(private_cluster(durable=True))
        stores = [("sqlite", "sqlite"), ("postgresql", server.database())]
        result, manner = crash.Result(), crash.Manner(given.every, given.effects, _say)
        if not given.scenario or set(given.scenario) & {one.name for one in SCENARIOS}:
            result.add(crash.campaign(stores, manner, given.scenario))
        result.add(wards.campaign(_KINDS, stores, manner, given.scenario))
        result.add(clusters.campaign(stores, manner, given.scenario))
    for finding in result.findings.every:
        _say(finding)
    if result.missed:
        _say(f"{result.missed} strikes found no victim: their points were not met again")
    sys.stdout.write(f"{result.line()}\n")
    return bool(result.findings.every)


def _fuzz(given: argparse.Namespace) -> bool:
    tally = fuzz.fuzz(given.cases, given.seed, given.processes, _say)
    sys.stdout.write(f"{tally.line(given.seed)}\n")
    return bool(tally.failures)


def _chaos(_: argparse.Namespace) -> bool:
    survived, tried = asyncio.run(chaos.chaos(_say))
    sys.stdout.write(f"{chaos.line(survived, tried)}\n")
    return survived < tried


def _pause(given: argparse.Namespace) -> bool:
    report = asyncio.run(pause.pause(given.runs, given.rounds, _say))
    for finding in report.findings.every[:20]:
        _say(finding)
    sys.stdout.write(f"{report.line()}\n")
    return bool(report.findings.every)


def _resume(given: argparse.Namespace) -> bool:
    wrong = False
    for store in given.stores:
        for report in asyncio.run(resume.resume(store, given.runs, _say)):
            for finding in report.findings.every[:20]:
                _say(finding)
            sys.stdout.write(f"{report.line()}\n")
            wrong = wrong or bool(report.findings.every) or report.taken_up > resume.TARGET_SECONDS
    return wrong


def _soak(given: argparse.Namespace) -> bool:
    report = asyncio.run(soak.soak(given.seconds, _say, rate=given.rate))
    for finding in report.findings.every[:20]:
        _say(finding)
    sys.stdout.write(f"{report.line()}\n")
    return bool(report.findings.every)


def _storm(given: argparse.Namespace) -> bool:
    report = asyncio.run(storm.storm(given.alerts, given.seconds, _say))
    for finding in report.findings.every[:20]:
        _say(finding)
    sys.stdout.write(f"{report.line()}\n")
    return bool(report.findings.every)


def _tell_storm(given: argparse.Namespace) -> bool:
    size = tell_storm.Size(given.incidents, given.channels, given.seconds)
    report = asyncio.run(tell_storm.tell_storm(size, given.rounds, _say, one=given.one))
    for finding in report.findings.every[:20]:
        _say(finding)
    sys.stdout.write(f"{report.line()}\n")
    more = report.more() > tell_storm.MORE
    return bool(report.findings.every) or more


def _telling(given: argparse.Namespace) -> bool:
    with contextlib.ExitStack() as stack:
        stores: list[tuple[str, Callable[[], str]]] = []
        if "sqlite" in given.stores:
            stores.append(("sqlite", lambda: "sqlite"))
        if "postgresql" in given.stores:
            stores.append(("postgresql", stack.enter_context(private_cluster(durable=True)).database))
        result = telling.campaign(stores, every=given.every, say=_say)
    sys.stdout.write(f"{telling.line(result)}\n")
    return bool(result.findings.every)


def _seeds(given: argparse.Namespace) -> bool:
    tally = seeds.seeds(given.first, given.count, _say, given.jobs, given.seconds)
    sys.stdout.write(f"{tally.line()}\n")
    return bool(tally.failed)


def _model(given: argparse.Namespace) -> bool:
    played, wrong = model.model(given.stories, given.steps, given.jobs, _say)
    sys.stdout.write(f"model: {played:,} stories of up to {given.steps} happenings, {wrong} disagreements\n")
    return bool(wrong)


def _guards(given: argparse.Namespace) -> bool:
    outcomes = guards.campaign(given.words, _say)
    unheld = [one for one in outcomes if not one.noticed_by]
    sys.stdout.write(f"guards: {len(outcomes)} broken, one by one; {len(unheld)} went unnoticed\n")
    return bool(unheld) or not outcomes


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


_CAMPAIGNS = {
    "chaos": _chaos,
    "crash": _crash,
    "fuzz": _fuzz,
    "guards": _guards,
    "model": _model,
    "pause": _pause,
    "resume": _resume,
    "seeds": _seeds,
    "soak": _soak,
    "storm": _storm,
    "tell-storm": _tell_storm,
    "telling": _telling,
}


if __name__ == "__main__":
    raise SystemExit(main())
