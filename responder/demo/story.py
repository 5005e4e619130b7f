"""The demonstration, told in the terminal: a fix that is kept, one that is undone, one that waits for a yes."""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import TextIO, cast

import aiohttp

from responder.demo.alerts import DemoAlert, webhook
from responder.demo.backstage import Row, Stage, StageError, backstage
from responder.demo.checkout import Checkout
from responder.demo.screen import Screen, gauge

ACT_SECONDS = 25.0
"""No act takes longer: the slowest one verifies for 8 s."""
POLL_SECONDS = 0.15
TERMINATED = 128 + signal.SIGTERM
"""What a shell reports for a program that SIGTERM ended."""
ENDS = frozenset(
    {
        "verified",
        "rolled_back",
        "partly_rolled_back",
        "failed",
        "unknown",
        "skipped",
        "observed",
        "cancelled",
        "expired",
    }
)
STATES: Mapping[str, tuple[str, str]] = {
    "awaiting_approval": ("yellow", "✋ waits for a person: here is the plan"),
    "verifying": ("cyan", "◐ changed; the way back was written down first. Does it help?"),
    "undoing": ("yellow", "↩ it does not help: putting back what was there,"),
    "verified": ("green", "✔ verified: it helps, so it is kept"),
    "rolled_back": ("green", "↩ undone: everything is as it was, and a person is told"),
}
"""What the states of a run mean to somebody half asleep."""


@dataclass(frozen=True, slots=True)
class Act:
    """One part of the story: trouble, an alert, and how it is meant to end."""

    title: str
    trouble: str
    cause: Callable[[Checkout], None]
    visible: Callable[[Checkout], bool]
    alertname: str
    severity: str
    summary: str
    expression: str
    playbook: str
    promise: str
    ends: str
    settings: Mapping[str, int]
    approve: bool = False


def _overload(checkout: Checkout) -> None:
    checkout.change("workers", 4)


def _leak(checkout: Checkout) -> None:
    checkout.leak = 0.25


def _sale_over(checkout: Checkout) -> None:
    checkout.leak, checkout.arrivals = 0.0, 60.0


ACTS: Sequence[Act] = (
    Act(
        title="1 of 3: a fix that helps is kept",
        trouble="A sale begins. Four workers cannot keep up: customers wait, then give up.",
        cause=_overload,
        visible=lambda checkout: checkout.error_rate > 0.3,  # noqa: PLR2004 - a third of the customers
        alertname="CheckoutOverloaded",
        severity="critical",
        summary="More than 30 % of checkouts fail: customers wait too long",
        expression="checkout_error_ratio > 0.3",
        playbook="add-workers",
        promise="mode auto: add two workers, at most eight; keep them only if errors fall below 2 %.",
        ends="verified",
        settings={"workers": 6, "cache": 64},
    ),
    Act(
        title="2 of 3: a fix that does not help is undone",
        trouble="Now a payment provider drops every fourth request. Nobody waits, yet requests fail.",
        cause=_leak,
        visible=lambda checkout: checkout.error_rate > 0.1,  # noqa: PLR2004 - a tenth of the customers
        alertname="CheckoutErrors",
        severity="warning",
        summary="More than 10 % of checkouts fail",
        expression="checkout_error_ratio > 0.1",
        playbook="grow-cache",
        promise="mode auto: grow the cache; undo it if errors do not fall below 2 % within 3 s.",
        ends="rolled_back",
        settings={"workers": 6, "cache": 64},
    ),
    Act(
        title="3 of 3: a fix that asks first",
        trouble="The provider has recovered and the sale is over. Two workers too many cost money.",
        cause=_sale_over,
        visible=lambda checkout: checkout.error_rate < 0.01,  # noqa: PLR2004 - calm
        alertname="CheckoutIdle",
        severity="low",
        summary="Fewer customers than workers for a while",
        expression="checkout_busy_workers / checkout_workers < 0.6",
        playbook="shrink-after-sale",
        promise="mode approve: take two workers away, but only after a person has seen the plan.",
        ends="verified",
        settings={"workers": 4, "cache": 64},
        approve=True,
    ),
)


async def tell(stream: TextIO = sys.stdout, acts: Sequence[Act] = ACTS) -> int:
    """Tell the story; 0 when every act ended as told, 1 otherwise. Whatever happens, nothing is left behind."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")  # a terminal that cannot show a symbol is no reason to break off
    screen, loop = Screen(stream), asyncio.get_running_loop()
    story = asyncio.create_task(_tell(screen, acts), name="story")
    loop.add_signal_handler(signal.SIGTERM, story.cancel)
    try:
        await asyncio.wait([story])
        return TERMINATED if story.cancelled() else story.result()
    except (StageError, OSError, aiohttp.ClientError) as error:
        screen.line(f"The demonstration broke off: {str(error) or type(error).__name__}", "red")
        return 1
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        story.cancel()  # Ctrl-C arrives here: what the story has started is cleared away first
        await asyncio.wait([story])
        screen.still()


async def _tell(screen: Screen, acts: Sequence[Act]) -> int:
    screen.line("A small web shop and a responder, both real, both on this machine, both gone afterwards.", "bold")
    screen.line("Lines after ▏ are what the on-call channel would show.", "dim")
    async with backstage(Checkout(), screen.aside) as stage:
        results = [await _play(screen, stage, act) for act in acts]
        await _look_back(screen, stage)
    screen.line()
    if all(results):
        screen.line("That was it. Write your own in ten minutes: docs/tutorial.md", "bold")
        return 0
    wrong = ", ".join(act.title for act, right in zip(acts, results, strict=True) if not right)
    screen.line(f"Not as told: {wrong}", "red")
    return 1


async def _play(screen: Screen, stage: Stage, act: Act) -> bool:
    screen.title(act.title)
    screen.line(act.trouble)
    act.cause(stage.checkout)
    await _until_visible(screen, stage, act)
    alert = DemoAlert(act.alertname, act.severity, act.summary, act.expression, datetime.now(UTC))
    status = await stage.post(webhook(alert, "firing"))
    screen.line(f"Alertmanager posts {act.alertname}: {status}, stored.")
    screen.line(f"Playbook {act.playbook}, {act.promise}")
    run = await _follow(screen, stage, act.playbook, ENDS | ({"awaiting_approval"} if act.approve else set()))
    asked = run.get("state") == "awaiting_approval"
    if asked:
        await stage.says(f"responder approve {run.get('id')}")
        await stage.quiet()
        await _command(screen, stage, "approve", str(run.get("id")))
        run = await _follow(screen, stage, act.playbook, ENDS)
    await stage.quiet()
    await stage.post(webhook(alert, "resolved", datetime.now(UTC)))
    await stage.quiet(0.6)
    screen.still()
    right = run.get("state") == act.ends and asked == act.approve and stage.checkout.settings == act.settings
    if not right:
        screen.line(f"✘ ended {run.get('state')} with {stage.checkout.settings}: {run.get('reason')}", "red")
    await screen.pause(0.5)
    return right


async def _until_visible(screen: Screen, stage: Stage, act: Act) -> None:
    async with asyncio.timeout(ACT_SECONDS):
        while not act.visible(stage.checkout):
            _show_gauge(screen, stage)
            await asyncio.sleep(POLL_SECONDS)


async def _follow(screen: Screen, stage: Stage, playbook: str, until: frozenset[str] | set[str]) -> Row:
    """Show each state that the run of ``playbook`` reaches, until it is in one of ``until`` or time is up."""
    loop = asyncio.get_running_loop()
    deadline, state = loop.time() + ACT_SECONDS, ""
    run: Row = {}
    while loop.time() < deadline:
        run = await stage.latest_run(playbook) or {}
        if run.get("state", state) != state:
            state = str(run["state"])
            _show_state(screen, stage, run)
        if state in until:
            break
        _show_gauge(screen, stage)
        await asyncio.sleep(POLL_SECONDS)
    return run


def _show_state(screen: Screen, stage: Stage, run: Row) -> None:
    style, words = STATES.get(str(run["state"]), ("", ""))
    if words:
        screen.line(f"  {words}   {_change(run)}".rstrip(), style)
        if run["state"] != "undoing":  # what it is about to put back would read as what it has put back
            screen.line(f"    {_gauge(stage)}", "dim")


def _change(run: Row) -> str:
    """Write the changes of a run's steps: ``workers 4 → 6``."""
    if run["state"] == "verified":
        return ""
    found = []
    for step in cast("Sequence[Row]", run.get("steps") or ()):
        before, after = step.get("before"), step.get("after")
        if run["state"] in ("undoing", "rolled_back"):
            before, after = after, before
        if isinstance(before, dict) and isinstance(after, dict):
            found += [f"{key} {before.get(key)} → {value}" for key, value in after.items()]
    return ", ".join(found)


def _gauge(stage: Stage) -> str:
    checkout = stage.checkout
    return gauge(checkout.error_rate, checkout.workers, checkout.settings["cache"])


def _show_gauge(screen: Screen, stage: Stage) -> None:
    screen.status(_gauge(stage))


async def _command(screen: Screen, stage: Stage, *arguments: str) -> None:
    screen.still()
    screen.line(f"$ responder {' '.join(arguments)}", "bold")
    with screen.uninterrupted():
        _, output = await stage.command(*arguments, columns=screen.width)
        for line in output.splitlines():
            screen.line(line)


async def _look_back(screen: Screen, stage: Stage) -> None:
    screen.title("afterwards: what happened, and why?")
    await _command(screen, stage, "runs")
    screen.line()
    await _command(screen, stage, "explain", "alertname=CheckoutErrors")
