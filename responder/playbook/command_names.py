"""What a step of ``command.run`` takes from the configuration: a command, its parameters, its undo, its hosts."""

from collections.abc import Mapping
from datetime import timedelta

from responder.domain.targets import SEPARATOR
from responder.language.commands import Command
from responder.language.durations import format_duration, parse_duration
from responder.language.strict_yaml import Path
from responder.language.suggest import did_you_mean
from responder.playbook.complaints import Findings
from responder.playbook.rules import Keys, items, mapping
from responder.playbook.shape import StepShape

ACTION, COMMAND, VALUES = "command.run", "command", "with"


def check_commands(findings: Findings, data: Keys, commands: Mapping[str, Command]) -> None:
    """Complain about every step whose command the configuration does not have, or not like this."""
    for index, step in enumerate(items(data.get("steps"))):
        written = mapping(step)
        name = mapping(written.get(ACTION)).get(COMMAND)
        if not isinstance(name, str) or "{{" in name:
            continue
        path: Path = ("steps", index, ACTION)
        command = commands.get(name)
        if command is None:
            near = did_you_mean(name, commands)
            hint = f'did you mean "{near}"?' if near else f"configured: {', '.join(sorted(commands)) or 'none'}"
            findings.add((*path, COMMAND), f'the configuration has no command "{name}"', "unknown-command", hint)
            continue
        _check_values(findings, path, mapping(mapping(written.get(ACTION)).get(VALUES)), command)
        _check_undo(findings, path, written, command)
        _check_host(findings, path, data.get("target"), command)
        _check_timeout(findings, path, written, command)


def _check_values(findings: Findings, path: Path, values: Keys, command: Command) -> None:
    known = ", ".join(command.parameters) or "none"
    for name in values.keys() - command.parameters.keys():
        message = f'the command {command.name} has no parameter "{name}"'
        findings.add((*path, VALUES, str(name)), message, "command-input", f"its parameters: {known}", at_key=True)
    for name in command.parameters.keys() - values.keys():
        message = f"the command {command.name} needs the parameter {name}"
        findings.add(path, message, "command-input", f"add {name}: under with:", at_key=True)
    if values.keys() == command.parameters.keys() and not any("{{" in str(value) for value in values.values()):
        try:
            command.job({name: str(value) for name, value in values.items()})
        except ValueError as error:
            findings.add((*path, VALUES), str(error), "command-input")


def _check_undo(findings: Findings, path: Path, step: Keys, command: Command) -> None:
    if not command.undo and step.get("undo") != "none":
        message = f"the command {command.name} has no undo, and the step must say so"
        hint = f"add undo: none, or give commands.{command.name} an undo"
        findings.add((*path[:-1], "undo") if "undo" in step else path, message, "undo-none", hint, at_key=True)


def _check_host(findings: Findings, path: Path, target: object, command: Command) -> None:
    host = target.split(SEPARATOR)[1] if isinstance(target, str) and target.count(SEPARATOR) else "{{"
    if command.hosts and "{{" not in host and host not in command.hosts:
        message = f"the command {command.name} may not run on {host}"
        findings.add((*path, COMMAND), message, "command-host", f"it may on {', '.join(sorted(command.hosts))}")


def _check_timeout(findings: Findings, path: Path, step: Keys, command: Command) -> None:
    """Complain when a command may still be at work when the time of its step, and with it the run's, is up."""
    written = step.get("timeout", StepShape.model_fields["timeout"].default)
    try:
        allowed = written if isinstance(written, timedelta) else parse_duration(str(written))
    except ValueError:
        return  # complained about where it is read
    takes = timedelta(seconds=command.usual.seconds)
    if allowed < takes:
        long = format_duration(takes)
        message = f"the command {command.name} may take {long}, and the step waits for {format_duration(allowed)}"
        hint = f"give the step a timeout of more than {long}, or lower commands.{command.name}.timeout"
        where = (*path[:-1], "timeout") if "timeout" in step else path
        findings.add(where, message, "command-timeout", hint, at_key=True, severity="warning")
