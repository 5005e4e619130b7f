"""Looking at the commands of the configuration: are their programs there, and may they be run as it says?"""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from responder.cli.findings import Finding, note, well, wrong
from responder.language.commands import Command
from responder.settings import Settings


def look_at_commands(settings: Settings) -> Iterator[Finding]:
    """Look at every command, and at where it is written down what became of it. Runs nothing."""
    for name, command in settings.commands.items():
        missing = [program for program in _programs(command) if not os.access(program, os.X_OK)]
        user = _user(command.usual.user)
        if missing:
            yield wrong(f"command {name}", f"{missing[0]} is not a program that can be run here")
        elif user:
            yield wrong(f"command {name}", user)
        elif not Path(command.usual.folder).is_dir():
            yield wrong(f"command {name}", f"its folder {command.usual.folder} is not there")
        else:
            yield well(f"command {name}", " ".join(command.argv))
    for name, host in settings.connections_host.items():
        folder = next(one for one in (host.folder, *host.folder.parents) if one.exists())
        if os.access(folder, os.W_OK):
            yield well(f"connection host/{name}", f"journals in {host.folder}")
        else:
            yield wrong(f"connection host/{name}", f"nothing can be written in {host.folder}")
    if settings.commands and not settings.connections_host:
        yield note("commands", "there is no connections.host that they could run on")


def _programs(command: Command) -> Iterator[str]:
    yield from (argv[0] for argv in (command.argv, command.undo, command.landed) if argv)


def _user(name: str) -> str:
    """Return why nothing can be run as this user; empty when it can."""
    if not name:
        return ""
    try:
        number = pwd.getpwnam(name).pw_uid
    except KeyError:
        return f"there is no user {name} here"
    return "" if os.geteuid() in (0, number) else f"only root can run something as {name}"
