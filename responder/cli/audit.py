"""``responder audit verify``: is the audit log what was sealed?"""

from collections.abc import Sequence
from typing import Annotated, cast

import typer

from responder.cli.client import connect, fail
from responder.cli.exits import Exit
from responder.cli.output import plain
from responder.cli.people import TokenFile, Url

PATIENCE_SECONDS = 600
"""The whole log is read."""


def audit(
    what: Annotated[str, typer.Argument(metavar="verify", help="the only thing there is")],
    url: Url = "",
    token_file: TokenFile = None,
) -> None:
    """Hold the audit log against its sealed segments, and those against the heads file; exits 1 when it was changed."""
    if what != "verify":
        fail("use: responder audit verify")
    found = connect(url, token_file, PATIENCE_SECONDS).get("audit/verify")
    problems = cast("Sequence[object]", found.get("problems") or ())
    for problem in problems:
        print(plain(problem))
    counts = (
        f"{found.get('entries')} entries in {found.get('segments')} segments, {found.get('unsealed')} not sealed yet"
    )
    print(f"{counts}, {found.get('heads')} heads of {plain(found.get('heads_file') or 'no file')}")
    if not found.get("heads_file"):
        print("without a heads file nobody can tell whether the end was cut off or all of it sealed anew")
    raise typer.Exit(Exit.FINDINGS if problems else Exit.OK)
