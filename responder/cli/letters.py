"""``responder letters``: what was set aside after too many attempts, and the way back."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from responder.cli.client import Client, connect, fail
from responder.cli.exits import Exit
from responder.cli.output import show
from responder.cli.people import Limit, Output, TokenFile, Url

COLUMNS = ("id", "destination", "at", "error")
NONE = "There are no dead letters: whatever was to be told or decided was, or waits (responder_queue_depth)."
_MOST = 10_000


def letters(
    what: Annotated[str, typer.Argument(help="ls or send")] = "ls",
    which: Annotated[
        list[str] | None, typer.Argument(metavar="[ID…]", help="for send: ids of the list, or incidents")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="send everything that was set aside again")] = False,
    destination: Annotated[str, typer.Option("--destination", help="only this one's, such as slack:#oncall")] = "",
    url: Url = "",
    token_file: TokenFile = None,
    output: Output = "table",
    limit: Limit = 50,
) -> None:
    """List the messages and deliveries that were set aside after too many attempts, or send them again."""
    client = connect(url, token_file)
    if what == "ls" and not which and not every:
        show(iter(list(_dead(client, limit, destination))), COLUMNS, output, NONE)
        return
    if what != "send" or bool(which) == (every or bool(destination)):
        fail("use: responder letters [ls], responder letters send ID…, responder letters send --all")
    _send(client, list(_dead(client, _MOST, destination)), which or ())


def _dead(client: Client, limit: int, destination: str) -> Iterator[dict[str, object]]:
    wanted = {"destination": destination} if destination else {}
    left = limit
    for row in client.items("outbox", limit, state="dead", **wanted):
        left -= 1
        yield {
            "id": f"{row.get('incident')}|{row.get('destination')}",
            "kind": "outbox",
            "incident": row.get("incident"),
            "destination": row.get("destination"),
            "at": row.get("changed_at"),
            "error": row.get("error"),
        }
    if destination:
        return
    for row in client.items("deliveries", left, state="dead"):
        yield {
            "id": row.get("id"),
            "kind": "delivery",
            "incident": "",
            "destination": f"(delivery of {row.get('source')})",
            "at": row.get("received_at"),
            "error": row.get("error"),
        }


def _send(client: Client, dead: Sequence[dict[str, object]], which: Sequence[str]) -> None:
    """Bring back those that are meant; each is tried from the beginning."""
    meant = [row for row in dead if not which or row["id"] in which or (row["incident"] and row["incident"] in which)]
    unknown = [one for one in which if all(one not in (row["id"], row["incident"]) for row in meant)]
    for row in meant:
        client.post("redrive", {"kind": row["kind"], "id": row["id"]})
        print(row["id"])
    if unknown:
        fail(f"nothing is set aside under {', '.join(unknown)}; what there is: responder letters", Exit.FINDINGS)
    if not meant:
        fail("nothing is set aside; what was told, and to whom: /api/v1/outbox", Exit.FINDINGS)
