"""The pages of what an operator sees: metrics and log lines, the command line."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

import typer.main
from prometheus_client.metrics import MetricWrapperBase
from typer.core import TyperCommand, TyperGroup

from responder.cli.app import app
from responder.cli.exits import Exit
from responder.telemetry import FACTS, Metrics, facts
from scripts.reference.markdown import block, cell, code, groups, page, sentence, table

WIDTH = 100
"""How wide the command line's help is written here."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it is scraped."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def metrics() -> list[Metric]:
    """Return every metric of the registry, by name."""
    registry = Metrics().registry
    found = []
    for collector in registry._collector_to_names:  # noqa: SLF001 - a family does not say its labels
        if not isinstance(collector, MetricWrapperBase):
            continue  # the process' own, which the library brings along
        labels: tuple[str, ...] = collector._labelnames  # noqa: SLF001 - as above
        for family in collector.describe():
            end = "_total" if family.type == "counter" else ""
            found.append(Metric(f"{family.name}{end}", family.type, labels, sentence(family.documentation)))
    return sorted(found, key=lambda one: one.name)


def metrics_page() -> str:
    """Return the page of metrics and log lines."""
    rows = [(code(one.name), one.kind, ", ".join(map(code, one.labels)), one.text) for one in metrics()]
    return page(
        "Metrics and log lines",
        "`GET /metrics` answers in Prometheus' format. A histogram has the series `_bucket`, `_sum` and `_count`. "
        "The usual `process_…` and `python_info` of Prometheus' client library are there as well.",
        table(("Metric", "Type", "Labels", "Meaning"), rows),
        "## Log lines",
        "Each fact is told once, and is logged (on stderr) and counted from the same table. Warnings and errors are "
        "also counted together, by `responder_problems_total{fact}`.",
        *(f"### {sentence(title).rstrip('.')}\n\n{_facts(names)}" for title, names in fact_groups()),
    )


def fact_groups() -> Iterator[tuple[str, list[str]]]:
    """Go through the facts by the comments above them."""
    return groups(inspect.getsource(facts), re.compile(r'^    "([a-z_]+)": Fact\('))


def _facts(names: list[str]) -> str:
    rows = [(code(name), FACTS[name].level, "counted" if FACTS[name].note else "") for name in names]
    return table(("Fact", "Level", ""), rows)


def command_line_page() -> str:
    """Return the page of commands: what `responder COMMAND --help` prints."""
    known = commands()
    return page(
        "Command line",
        "Data goes to stdout, logs and complaints go to stderr. `python -m responder` is the same as `responder`.",
        table(
            ("Command", "What it does"),
            ((f"[{code(name)}](#responder-{name})", _short(command)) for name, command in known.items()),
        ),
        "## Exit codes",
        table(("Code", "Meaning"), exit_codes()),
        *(f"## responder {name}\n\n{block(_help(command, name), 'text')}" for name, command in known.items()),
    )


def commands() -> dict[str, TyperCommand]:
    """Return every command by name."""
    group = typer.main.get_command(app)
    if not isinstance(group, TyperGroup):
        raise TypeError("the command line has only one command")
    return {name: one for name, one in sorted(group.commands.items()) if isinstance(one, TyperCommand)}


def _short(command: TyperCommand) -> str:
    return cell((command.help or "").partition("\n\n")[0])


def _help(command: TyperCommand, name: str) -> str:
    parent = typer.Context(typer.main.get_command(app), info_name="responder")
    context = typer.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    return command.get_help(context)


def exit_codes() -> list[tuple[str, str]]:
    """Return each exit code with its meaning, as the enum's docstring has it."""
    said = dict(re.findall(r"(\d) ([^,.]+)", inspect.getdoc(Exit) or ""))
    return [(code(int(one)), sentence(said[str(int(one))])) for one in Exit]
