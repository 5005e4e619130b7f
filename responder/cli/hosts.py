"""Looking at what the configuration may change on this machine: commands, journals, the socket of an engine."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from responder.cli.findings import Finding, note, well, wrong
from responder.language.commands import Command
from responder.settings import DockerConnection, Settings


def look_at_commands(settings: Settings) -> Iterator[Finding]:
    """Look at every command, and at where it is written down what became of it. Runs nothing."""
    yield from (_command(command) for command in settings.commands.values())
    for name, host in settings.connections_host.items():
        folder = next(one for one in (host.folder, *host.folder.parents) if one.exists())
        if os.access(folder, os.W_OK):
            yield well(f"connection host/{name}", f"journals in {host.folder}")
        else:
            yield wrong(f"connection host/{name}", f"nothing can be written in {host.folder}")
    yield from (_docker(f"connection docker/{name}", one) for name, one in settings.connections_docker.items())
    if settings.commands and not settings.connections_host:
        yield note("commands", "there is no connections.host that they could run on")


def _command(command: Command) -> Finding:
    subject = f"command {command.name}"
    missing = [program for program in _programs(command) if not os.access(program, os.X_OK)]
    if missing:
        return wrong(subject, f"{missing[0]} is not a program that can be run here")
    user = _user(command.usual.user)
    if user:
        return wrong(subject, user)
    if not Path(command.usual.folder).is_dir():
        return wrong(subject, f"its folder {command.usual.folder} is not there")
    return well(subject, " ".join(command.argv))


def _docker(subject: str, docker: DockerConnection) -> Finding:
    if not docker.path.is_socket():
        return wrong(subject, f"{docker.path} is no socket: does an engine run here?")
    if not os.access(docker.path, os.W_OK):
        return wrong(subject, f"{docker.path} may not be written to: its group is missing")
    return well(subject, f"{docker.path}, for {', '.join(docker.containers)}")


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
