"""The brakes: ``pause``, ``halt``, ``pauses``, ``resume``, ``reset`` and ``clear``."""

import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, cast

import typer

from responder.cli.client import Client, connect, segment
from responder.cli.exits import Exit
from responder.cli.output import plain, show
from responder.cli.people import Limit, Output, Reason, TokenFile, Url
from responder.domain.brakes import SCOPES

Scope = Annotated[str, typer.Argument(help=SCOPES)]
For = Annotated[str, typer.Option("--for", help="lift it by itself after this long, such as 30m")]
IN_FORCE = ("id", "kind", "scope", "source", "actor", "created_at", "until", "reason")
NEVER = "Nobody has ever paused anything. What a file or the environment puts on is not kept here."
_WILD = frozenset("*?[")
EVERY = ("id", "kind", "scope", "actor", "created_at", "until", "lifted_at", "lifted_by", "reason")


def pause(
    scope: Scope = "all",
    *,
    url: Url = "",
    token_file: TokenFile = None,
    reason: Reason = "",
    for_: For = "",
    halt: Annotated[bool, typer.Option("--halt", help="stop undoing as well: as responder halt")] = False,
) -> None:
    """Let nothing new be changed, until a person resumes; what was changed may be undone."""
    _put_on(connect(url, token_file), "halt" if halt else "pause", scope, reason, for_)


def halt(
    scope: Scope = "all", *, url: Url = "", token_file: TokenFile = None, reason: Reason = "", for_: For = ""
) -> None:
    """Let nothing at all be changed, not even undone, until a person resumes."""
    _put_on(connect(url, token_file), "halt", scope, reason, for_)


def _put_on(client: Client, kind: str, scope: str, reason: str, for_: str) -> None:
    body: dict[str, object] = {"scope": scope, "kind": kind, "reason": reason}
    if for_:
        body["for"] = for_
    try:
        answer = client.post("pauses", body)
    except SystemExit as error:
        if error.code == Exit.UNREACHABLE:
            print(f"the {kind} may not be in force; the file that `brake_file` names needs no answer", file=sys.stderr)
        raise
    print(answer.get("id") or kind)
    empty = _covers_nothing(client, scope)
    if empty:
        print(f"careful: {empty}; it covers nothing now", file=sys.stderr)


def _covers_nothing(client: Client, scope: str) -> str:
    """Say what a scope names that is not there, empty when it is; of teams and targets nobody knows all there are."""
    subject, _, pattern = scope.partition(":")
    if subject == "incident":
        named = {} if _WILD & set(pattern) else {"id": pattern}
        ids = (str(row.get("id")) for row in client.items("incidents", 1000, **named))
        return "" if any(fnmatchcase(one, pattern) for one in ids) else f"there is no incident {pattern!r}"
    if subject not in ("playbook", "action"):
        return ""
    rows = list(client.items("playbooks", 1000))
    steps = (cast("Sequence[str]", row.get("steps") or ()) for row in rows)
    names = [str(row["name"]) for row in rows] if subject == "playbook" else [one for each in steps for one in each]
    has = "is called" if subject == "playbook" else "takes the action"
    return "" if any(fnmatchcase(name, pattern) for name in names) else f"no playbook in use {has} {pattern!r}"


def pauses(
    url: Url = "",
    token_file: TokenFile = None,
    output: Output = "table",
    limit: Limit = 50,
    every: Annotated[bool, typer.Option("--all", help="also those that are over; only what people put on")] = False,
) -> None:
    """List the pauses and halts in force, whoever or whatever put them on."""
    client = connect(url, token_file)
    if every:
        show(client.items("pauses", limit), EVERY, output, NEVER)
        return
    show(_in_force(client.get("status")), IN_FORCE, output, "Nothing is paused. What was: responder pauses --all")


def _in_force(answer: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    return cast("Sequence[Mapping[str, object]]", answer.get("pauses") or ())


def resume(
    which: Annotated[str, typer.Argument(metavar="ID|SCOPE|all")],
    url: Url = "",
    token_file: TokenFile = None,
) -> None:
    """Lift a pause or halt; one that a file or the environment put on is lifted there."""
    answer = connect(url, token_file).delete(f"pauses/{segment(which)}")
    print(f"lifted {answer.get('lifted', '')}".strip())
    left = [one for one in _in_force(answer) if one.get("kind") != "trip"]  # that only asks, and `reset` lifts it
    for one in left:
        if which == "all" or one.get("source") != "store":
            said = f"{one.get('kind')} of {one.get('scope')} by {one.get('actor')}"
            print(f"still in force: {plain(said)} ({one.get('id')})", file=sys.stderr)
    if left and not answer.get("lifted"):
        print("nothing was lifted: what a file or the environment has put on is lifted there", file=sys.stderr)
        raise typer.Exit(Exit.FINDINGS)


def reset(
    playbook: Annotated[str, typer.Argument(metavar="PLAYBOOK")], url: Url = "", token_file: TokenFile = None
) -> None:
    """Let a playbook that failed too often in a row act by itself again."""
    connect(url, token_file).post(f"playbooks/{segment(playbook)}/reset")
    print("reset")


def clear(
    what: Annotated[str, typer.Argument(metavar="RUN|TARGET", help="the run that left it in doubt, or the target")],
    url: Url = "",
    token_file: TokenFile = None,
) -> None:
    """Let a target that a run left in doubt be changed again, once a person has looked at it."""
    client = connect(url, token_file)
    target = what if "/" in what else str(client.get(f"runs/{segment(client.run_id(what))}").get("target"))
    client.delete(f"quarantines/{segment(target)}")
    print(f"cleared {plain(target)}")
