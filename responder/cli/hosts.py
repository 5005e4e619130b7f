"""Looking at what the configuration may change on machines: commands, journals, the socket of an engine."""

import asyncio
import os
from collections.abc import Iterator, Mapping

from responder import app as root
from responder.cli.findings import Finding, note, well, wrong
from responder.domain.errors import StepError
from responder.ports.hosts import Examined
from responder.settings import DockerConnection, Settings


async def look_at_commands(settings: Settings) -> list[Finding]:
    """Look at every machine and command, and at where it is written down what became of it. Runs none of them."""
    tools = root.toolbox(settings)

    async def ask(name: str) -> Examined | str:
        try:
            return await tools.host(name).examine()
        except StepError as error:
            return str(error)

    try:
        answers = await asyncio.gather(*map(ask, settings.connections_host))
    finally:
        await tools.close()
    examined = dict(zip(settings.connections_host, answers, strict=True))
    found = [*_commands(settings, examined), *(_host(settings, name, one) for name, one in examined.items())]
    found += [_docker(f"connection docker/{name}", one) for name, one in settings.connections_docker.items()]
    if settings.commands and not settings.connections_host:
        found.append(note("commands", "there is no connections.host that they could run on"))
    return found


def _commands(settings: Settings, examined: Mapping[str, Examined | str]) -> Iterator[Finding]:
    """Say of each command whether it can be run on every machine where it may and that answers."""
    for command in settings.commands.values():
        subject = f"command {command.name}"
        answered = {name: one.commands for name, one in examined.items() if isinstance(one, Examined)}
        seen = {name: problems[command.name] for name, problems in answered.items() if command.name in problems}
        faults = [f"{why} ({name})" for name, why in seen.items() if why]
        if faults:
            yield wrong(subject, faults[0])
        elif seen:
            yield well(subject, " ".join(command.argv))
        elif examined:
            yield note(subject, "no machine could be asked whether it can be run there")


def _host(settings: Settings, name: str, examined: Examined | str) -> Finding:
    subject, host = f"connection host/{name}", settings.connections_host[name]
    if isinstance(examined, str):
        return wrong(subject, examined.removeprefix(f"{name}: "))
    if examined.journals:
        return wrong(subject, examined.journals)
    there = f", on {host.ssh.address} with Python {examined.python}" if host.ssh else ""
    return well(subject, f"journals in {host.folder}{there}")


def _docker(subject: str, docker: DockerConnection) -> Finding:
    if not docker.path.is_socket():
        return wrong(subject, f"{docker.path} is no socket: does an engine run here?")
    if not os.access(docker.path, os.W_OK):
        return wrong(subject, f"{docker.path} may not be written to: its group is missing")
    return well(subject, f"{docker.path}, for {', '.join(docker.containers)}")
