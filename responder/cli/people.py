"""Commands that read from or act on a running responder."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from responder.cli import explain as story
from responder.cli.client import Client, connect, fail, segment
from responder.cli.exits import Exit
from responder.cli.output import change, plain, show, why

Url = Annotated[str, typer.Option("--url", help="where the responder listens [env RESPONDER_URL]")]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", help="file with an access token [env RESPONDER_TOKEN_FILE]")
]
Output = Annotated[str, typer.Option("-o", "--output", help="table, json, jsonl, yaml or name")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="at most this many rows")]
Where = Annotated[list[str] | None, typer.Option("--where", "-w", help="field=value, repeatable")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="a run's id, or its beginning or end")]
Reason = Annotated[str, typer.Option("--reason", help="why, for the audit log and the message")]

COLUMNS = {
    "runs": ("id", "created_at", "state", "playbook", "target", "reason"),
    "incidents": ("id", "opened_at", "status", "severity", "group_key", "needs_person"),
    "decisions": ("last_at", "verdict", "playbook", "target", "count", "run", "reason"),
    "deliveries": ("id", "received_at", "source", "state", "alerts", "error"),
}
NEXT = {
    "runs": "A run begins when a playbook matches an alert and may act; why none did: responder decisions",
    "incidents": "An incident opens with the first alert that fires; what has arrived: responder deliveries",
    "decisions": "There is one for each alert that is looked at; what has arrived: responder deliveries",
    "deliveries": "Nothing has arrived: does a receiver of Alertmanager have url: {url}/webhook/SOURCE?",
}
"""What to do about an empty list."""
_NOT_TAKEN_UP = frozenset({"awaiting_approval", "ready"})
"""States of a run that has a yes and may still find that it was for another plan."""
FAILED = frozenset({"failed", "rolled_back", "partly_rolled_back", "expired", "cancelled"})


_NO_FIELD = {"limit": "for at most so many rows: --limit {}", "cursor": "the next pages come by themselves: --limit N"}
"""What the API takes beside the fields of a list, and how the command line says it."""


def _filters(where: Sequence[str] | None) -> dict[str, str]:
    found = _pairs(where, "--where {!r} is not field=value, such as --where state=failed")
    for name in _NO_FIELD.keys() & found:
        fail(f"--where {name}={found[name]!r}: {name} is no field; {_NO_FIELD[name].format(found[name] or 'N')}")
    return found


def _pairs(texts: Sequence[str] | None, refusal: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or not name:
            fail(refusal.format(text))
        found[name] = value
    return found


def _listing(
    kind: str, *, url: str, token_file: Path | None, output: str, limit: int, where: Sequence[str] | None
) -> None:
    client, filters = connect(url, token_file), _filters(where)
    show(client.items(kind, limit, **filters), COLUMNS[kind], output, _none(kind, filters, client.url))


def _none(kind: str, filters: Mapping[str, str], url: str) -> str:
    """Say that a list is empty, and what to do next."""
    if filters:
        asked = " and ".join(f"{name}={value}" for name, value in filters.items())
        return f"There are no {kind} with {plain(asked)}. Whether there are any: responder {kind}"
    return f"There are no {kind}. {NEXT[kind].format(url=url.rstrip('/'))}"


def incidents(
    url: Url = "", token_file: TokenFile = None, output: Output = "table", limit: Limit = 50, where: Where = None
) -> None:
    """List incidents, newest first."""
    _listing("incidents", url=url, token_file=token_file, output=output, limit=limit, where=where)


def decisions(
    url: Url = "", token_file: TokenFile = None, output: Output = "table", limit: Limit = 50, where: Where = None
) -> None:
    """List decisions: why playbooks ran or did not run."""
    _listing("decisions", url=url, token_file=token_file, output=output, limit=limit, where=where)


def deliveries(
    url: Url = "", token_file: TokenFile = None, output: Output = "table", limit: Limit = 50, where: Where = None
) -> None:
    """List accepted webhook bodies."""
    _listing("deliveries", url=url, token_file=token_file, output=output, limit=limit, where=where)


def runs(
    what: Annotated[str, typer.Argument(help="ls, show or watch")] = "ls",
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="for show and watch")] = "",
    *,
    url: Url = "",
    token_file: TokenFile = None,
    output: Output = "table",
    limit: Limit = 50,
    where: Where = None,
) -> None:
    """List runs, show one, or watch one to its end."""
    if what == "ls":
        _listing("runs", url=url, token_file=token_file, output=output, limit=limit, where=where)
        return
    if what not in ("show", "watch") or not run:
        fail("use: responder runs [ls], responder runs show RUN, responder runs watch RUN")
    client = connect(url, token_file)
    run_id = client.run_id(run)
    row = _watch(client, run_id) if what == "watch" else client.get(f"runs/{segment(run_id)}")
    if output == "table":
        print(describe(row))
    else:
        show([row], COLUMNS["runs"], output, "")
    if what == "watch":
        raise typer.Exit(_outcome(str(row.get("state"))))


def _watch(client: Client, run_id: str) -> Mapping[str, object]:
    state = ""
    while True:
        row = client.get(f"runs/{segment(run_id)}")
        if row.get("state") != state:
            state = str(row.get("state"))
            print(f"{time.strftime('%H:%M:%S')} {state}", file=sys.stderr)
        if row.get("finished_at"):
            return row
        time.sleep(0.5)


def _outcome(state: str) -> int:
    if state == "unknown":
        return Exit.UNKNOWN
    return Exit.FINDINGS if state in FAILED else Exit.OK


def describe(run: Mapping[str, object]) -> str:
    """Return a run for reading: what, where, each step with its change, how it ended."""
    lines = [f"{run.get('id')}  {run.get('playbook')} → {run.get('target')}  {run.get('state')}"]
    lines.append(f"  mode {run.get('mode')}, created {plain(run.get('created_at'))}, incident {run.get('incident')}")
    if run.get("caused_by"):
        lines.append(f"  the alert began after run {run['caused_by']} here, depth {run.get('depth')}")
    steps = cast("Sequence[Mapping[str, object]]", run.get("steps") or ())
    lines += ["  steps, the first one first:"] if len(steps) > 1 else []
    for step in steps:
        said = why(step, run.get("reason"))
        lines.append(f"  {step.get('id')}: {change(step)}  [{step.get('state', 'planned')}]{said}")
    if run.get("reason"):
        lines.append(f"  {plain(run['reason'])}")
    return "\n".join(lines)


def explain(
    labels: Annotated[list[str], typer.Argument(metavar="LABEL=VALUE…", help="labels of the alert")],
    url: Url = "",
    token_file: TokenFile = None,
    output: Output = "table",
) -> None:
    """Tell the story of an alert: what was received, decided, done, and why not."""
    refusal = "{!r} is not LABEL=VALUE, such as alertname=HighLatency; for a run: responder runs show RUN"
    answer = connect(url, token_file).get("explain", **_pairs(labels, refusal))
    found = answer.get("items")
    rows = cast("list[Mapping[str, object]]", found if isinstance(found, list) else [])
    waiting = story.undecided(cast("Mapping[str, object]", answer.get("undecided") or {}))
    if output != "table":
        episodes = [cast("Mapping[str, object]", row.get("episode") or {}) for row in rows]
        show(episodes if output == "name" else rows, ("episode",), output, "")
    elif rows:
        print(story.tell(rows))
        for line in story.brakes(cast("Sequence[Mapping[str, object]]", answer.get("pauses") or ())):
            print(line)
        if waiting:
            print(f"not yet    {waiting}")
    else:
        candidates = cast("Sequence[Mapping[str, object]]", answer.get("candidates") or ())
        print(story.nothing(candidates, waiting), file=sys.stderr)
    raise typer.Exit(Exit.OK if rows else Exit.FINDINGS)


def approve(
    run: RunId,
    url: Url = "",
    token_file: TokenFile = None,
    comment: Annotated[str, typer.Option("--comment", help="shown with the answer")] = "",
    plan_hash: Annotated[str, typer.Option("--plan-hash", help="approve only this plan")] = "",
) -> None:
    """Approve the plan that a run shows; exactly that plan, once."""
    client = connect(url, token_file)
    run_id = client.run_id(run)
    row = client.get(f"runs/{segment(run_id)}")
    asked = next(client.items("approvals", 1, run=run_id), None)
    if asked is None:
        fail(f"run {run_id} asks for nothing; how it stands: responder runs show {run_id}", Exit.FINDINGS)
    shown = plan_hash or str(asked.get("plan_hash") or "")
    answer = client.post(f"runs/{segment(run_id)}/approve", {"plan_hash": shown, "comment": comment})
    print(describe(row))
    if answer.get("waits_for"):
        print(f"noted; it waits for {plain(answer['waits_for'])}: responder approve {run_id}")
        return
    _say_what_followed(client, run_id, shown)


def _say_what_followed(client: Client, run_id: str, shown: str) -> None:
    """Look for a moment whether the run was taken up: a yes may come too late, or for a plan that has changed.

    What was approved is planned again before anything is changed; another plan takes a yes of its own.
    """
    for _ in range(12):
        row = client.get(f"runs/{segment(run_id)}")
        asked = next(client.items("approvals", 1, run=run_id), None)
        if asked is not None and asked.get("state") == "pending" and asked.get("plan_hash") != shown:
            fail(f"the target has changed since, and there is a new plan: responder approve {run_id}", Exit.FINDINGS)
        if row.get("state") not in _NOT_TAKEN_UP:
            print("approved")
            print(f"now {row.get('state')} {plain(row.get('reason') or '')}".rstrip())
            return
        time.sleep(0.25)
    print("approved")
    print(f"not taken up yet; see: responder runs watch {run_id}", file=sys.stderr)


def reject(
    run: RunId, url: Url = "", token_file: TokenFile = None, comment: Annotated[str, typer.Option("--comment")] = ""
) -> None:
    """Say no to a run that waits for approval."""
    client = connect(url, token_file)
    client.post(f"runs/{segment(client.run_id(run))}/reject", {"comment": comment})
    print("rejected")


def stop(run: RunId, url: Url = "", token_file: TokenFile = None) -> None:
    """Stop a run: nothing further is applied, what was applied is undone."""
    client = connect(url, token_file)
    answer = client.post(f"runs/{segment(client.run_id(run))}/stop")
    if answer.get("waits_for"):
        print(f"noted; it is parked, and stops once that is lifted: {plain(answer['waits_for'])}")
        print("to lift it: responder resume all, or one of: responder pauses")
        return
    print("stopping")


def rollback(run: RunId, url: Url = "", token_file: TokenFile = None, reason: Reason = "") -> None:
    """Undo what a finished run changed, as a new run."""
    client = connect(url, token_file)
    answer = client.post(f"runs/{segment(client.run_id(run))}/rollback", {"reason": reason})
    print(answer.get("id") or answer.get("run") or "rolling back")


def ack(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="an incident's id, or its beginning or end")],
    url: Url = "",
    token_file: TokenFile = None,
) -> None:
    """Say that a person has taken over: the incident no longer asks for one."""
    client = connect(url, token_file)
    client.post(f"incidents/{segment(client.incident_id(incident))}/ack")
    print("acknowledged")
