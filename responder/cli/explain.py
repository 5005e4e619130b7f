"""``responder explain``: the story of one alert, as the responder saw it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import cast

from responder.cli.output import change, clock, instant, plain, why

Story = Mapping[str, object]
SYMBOLS = {
    "planned": "○",
    "unchanged": "–",
    "not_needed": "–",
    "done": "✔",
    "intended": "◐",
    "applied": "✔",
    "not_applied": "–",
    "undo_intended": "◐",
    "undone": "↩",
    "drifted": "!",
    "undo_failed": "✘",
}
TIMELESS = frozenset({"planned", "unchanged", "not_needed", "done"})
"""States of a step that leaves no record, and so has no time unless it said something."""
TURNED_BACK = frozenset({"undo_intended", "undone", "drifted", "undo_failed", "undo_uncertain"})
"""States of a change that was made, and that is or was to be undone."""
_NO_TIME = "~"
"""Behind an instant: sorts behind all of that moment, and is shown as no time at all."""
FEW = 2
"""So many equal decisions or runs in a row are told one by one."""
ENDS = {"verified": "✔", "kept": "✔", "rolled_back": "↩", "observed": "👁", "skipped": "–", "cancelled": "–"}


def tell(stories: Sequence[Story]) -> str:
    """Return the text for a terminal: one paragraph an episode, in the order of time."""
    return "\n\n".join("\n".join(_episode(story)) for story in stories)


def brakes(pauses: Sequence[Story]) -> Iterator[str]:
    """Name the brakes in force that may stop this alert's playbooks from now on."""
    for one in pauses:
        reason = f": {plain(one['reason'])}" if one.get("reason") else ""
        said = {"halt": "halted", "trip": "tripped"}.get(str(one.get("kind")), "paused")
        yield f"in force   ⏸ {plain(one.get('actor'))} {said} {plain(one.get('scope'))}{reason}"


def undecided(depth: Story) -> str:
    """Say how many deliveries nobody has decided yet, empty when there is none: the alert may be in one of them."""
    waiting = depth.get("waiting")
    if not isinstance(waiting, int) or waiting < 1:
        return ""
    oldest = depth.get("oldest_seconds")
    since = f", the oldest for {oldest:.0f} s" if isinstance(oldest, int | float) and oldest >= 1 else ""
    who = "1 delivery waits" if waiting == 1 else f"{waiting} deliveries wait"
    return f"{who} to be decided{since}: responder deliveries -w state=waiting"


def nothing(candidates: Sequence[Story], waiting: str = "") -> str:
    """Say that no such alert is known, where to look next, and what would be tried if it came.

    ``waiting`` says what has been received and not looked into yet.
    """
    tried = ", ".join(f"{one.get('playbook')} ({one.get('mode')})" for one in candidates)
    would = f"these would be tried: {plain(tried)}" if tried else "no playbook fits"
    known = f"decided yet; all of them must match.\n{waiting}" if waiting else "received; all of them must match."
    return (
        f"No alert with these labels has been {known}\n"
        f"If one came with no other labels, {would}.\n"
        "What has arrived: responder deliveries. What was decided: responder decisions"
    )


def _episode(story: Story) -> Iterator[str]:
    episode = cast("Mapping[str, object]", story.get("episode") or {})
    labels = cast("Mapping[str, str]", episode.get("labels") or {})
    rest = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")
    yield f"{plain(labels.get('alertname', '(no alertname)'))}  {plain(rest)}"
    lines = [
        (str(episode.get("opened_at")), f"received   {episode.get('severity', '')}, from {episode.get('source', '')}")
    ]
    decisions = cast("Sequence[Story]", story.get("decisions") or ())
    for alike in _alike(decisions, _began, _told):
        lines += [(_began(one), _decision(one)) for one in _shown(alike)]
        lines.extend(_more(alike, _began))
    for alike in _alike(cast("Sequence[Story]", story.get("runs") or ()), _created, _done):
        lines += [line for run in _shown(alike) for line in _run(run)]
        lines.extend(_more(alike, _created))
    incident = cast("Story", story.get("incident") or {})
    if incident.get("acknowledged_at"):
        lines.append((str(incident["acknowledged_at"]), f"taken      ✔ by {plain(incident.get('acknowledged_by'))}"))
    if episode.get("closed_at"):
        lines.append((str(episode["closed_at"]), f"closed     {episode.get('closed_reason') or 'resolved'}"))
    for at, text in sorted(lines, key=lambda line: line[0]):
        yield f"{clock(at)} {text}"


def _began(decision: Story) -> str:
    return str(decision.get("first_at") or decision.get("last_at"))


def _created(run: Story) -> str:
    return str(run.get("created_at"))


def _told(decision: Story) -> object:
    """Return what makes a decision worth a line of its own."""
    return decision.get("verdict"), decision.get("playbook"), plain(decision.get("reason")), decision.get("count")


def _done(run: Story) -> object:
    """Return what makes a run worth lines of its own; one that is under way always is."""
    if not run.get("finished_at"):
        return run.get("id")
    steps = [
        (step.get("id"), step.get("state"), change(step)) for step in cast("Sequence[Story]", run.get("steps") or ())
    ]
    return steps, *(run.get(name) for name in ("playbook", "target", "mode", "of_run", "state", "reason"))


def _alike(rows: Sequence[Story], at: Callable[[Story], str], key: Callable[[Story], object]) -> Iterator[list[Story]]:
    """Go through the rows in the order of time, those that follow an equal one together with it."""
    for _, found in groupby(sorted(rows, key=at), key):
        yield list(found)


def _shown(alike: Sequence[Story]) -> Sequence[Story]:
    """Return the first of many; few are told one by one."""
    return alike[:1] if len(alike) > FEW else alike


def _more(alike: Sequence[Story], at: Callable[[Story], str]) -> Iterator[tuple[str, str]]:
    """Say how many more there were like the first, between when and when."""
    if len(alike) > FEW:
        first, last = at(alike[1]), at(alike[-1])
        name = f", the last {alike[-1]['id']}" if "created_at" in alike[-1] else ""
        yield first, f"…          {len(alike) - 1} more like this between {clock(first)} and {clock(last)}{name}"


def _decision(decision: Story) -> str:
    verdict, playbook = str(decision.get("verdict")), str(decision.get("playbook") or "")
    symbol = "✔" if verdict in ("run", "joined", "told") else "✘"
    times = decision.get("count")
    count = f" ({times}×, last {clock(decision.get('last_at'))})" if isinstance(times, int) and times > 1 else ""
    retry = clock(decision["retry_at"]) if decision.get("retry_at") else ""
    again = f", looked at again {retry}" if retry and retry not in str(decision.get("reason")) else ""
    who = f"{playbook}: " if playbook else ""
    return f"decided    {symbol} {who}{plain(decision.get('reason'))} [{verdict}]{count}{again}"


def _run(run: Story) -> Iterator[tuple[str, str]]:
    start = f"run        {run.get('id')}: {run.get('playbook')} on {run.get('target')}, mode {run.get('mode')}"
    if run.get("caused_by"):
        start += f", after run {run['caused_by']} (depth {run.get('depth')})"
    if run.get("of_run"):
        who = f"by {run['requested_by']}" if run.get("requested_by") else "by a person"
        start = f"rollback   {run.get('id')}: of run {run['of_run']}, {who}"
    yield str(run.get("created_at")), start
    yield from _steps(run)
    if run.get("finished_at"):
        symbol = ENDS.get(str(run.get("state")), "✘")
        yield str(run["finished_at"]), f"ended      {symbol} {run.get('state')}: {plain(run.get('reason'))}"
    else:
        reason = f": {plain(run['reason'])}" if run.get("reason") else ""
        yield "9", f"now        {ENDS.get(str(run.get('state')), '◐')} {run.get('state')}{reason}"


def _steps(run: Story) -> Iterator[tuple[str, str]]:
    """Tell each step at its own time; what has none stands behind the one before, without a time."""
    before = str(run.get("started_at") or run.get("created_at"))
    for step in cast("Sequence[Story]", run.get("steps") or ()):
        state, own = str(step.get("state")), step.get("at")
        said = why(step, run.get("reason"))
        if own and (run.get("of_run") or state in TURNED_BACK):
            yield from _there_and_back(run, step, before, said)
        elif own or state not in TIMELESS:
            yield str(own or before), _step(step, state, said)
        else:
            yield f"{before}{_NO_TIME}", _step(step, state, said)
        if not run.get("of_run"):
            before = str(step.get("settled_at") or own or before)


def _there_and_back(run: Story, step: Story, before: str, said: str) -> Iterator[tuple[str, str]]:
    """Tell when a change was made, in the run that made it, and when it was undone, in the run that undid it."""
    state, undoes = str(step.get("state")), bool(run.get("of_run"))
    if not undoes:
        yield str(step["at"]), _step(step, "applied")
        before = str(step.get("settled_at") or step["at"])
    if state in TURNED_BACK and _undid(run, step):
        at = step.get("undone_at") or run.get("finished_at") or f"{before}{_NO_TIME}"
        yield str(at), _step(step, state, said)


def _undid(run: Story, step: Story) -> bool:
    """Say whether it was this run that undid the step, or tried to: a rollback may have, or the run itself."""
    at = instant(str(step.get("undone_at")))
    if at is None:
        return bool(run.get("of_run")) or str(run.get("state")) not in ("verified", "kept")
    began, ended = instant(str(run.get("created_at"))), instant(str(run.get("finished_at")))
    return (began is None or at >= began) and (ended is None or at <= ended)


def _step(step: Story, state: str, said: str = "") -> str:
    return f"step       {SYMBOLS.get(state, '?')} {step.get('id')} {change(step)} [{state}]{said}"
