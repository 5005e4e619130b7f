"""``responder routes``: the routes as they are configured, and who would hear of an alert."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from responder.cli.client import fail
from responder.cli.exits import Exit
from responder.decide.destinations import Audience, audience
from responder.decide.rules import Rules
from responder.domain.alerts import Severity
from responder.language.durations import format_duration
from responder.settings import Route, Settings

_USE = "use: responder routes [show], responder routes test LABEL=VALUE…"


def routes(
    what: Annotated[str, typer.Argument(help="show or test")] = "show",
    labels: Annotated[list[str] | None, typer.Argument(metavar="[LABEL=VALUE…]", help="for test: an alert")] = None,
    *,
    config_file: Annotated[Path, typer.Option("--config.file", help="the configuration")] = Path("responder.yml"),
    unhandled: Annotated[bool, typer.Option("--unhandled", help="no playbook is for it")] = False,
    needs_person: Annotated[bool, typer.Option("--needs-person", help="a person is needed, or may be")] = False,
    at: Annotated[str, typer.Option("--at", help="when, such as 2026-01-05T03:00:00+01:00; default: now")] = "",
    expect: Annotated[str, typer.Option("--expect", help="who must hear of it, with commas; 1 when it is not so")] = "",
) -> None:
    """Show the routes of the configuration, or who hears of an alert with these labels; needs no running responder."""
    from responder import app as root
    from responder.app.parts import rules_of

    settings = root.read_settings(config_file)
    if what == "show" and not labels:
        print("\n".join(tree(settings)))
        return
    if what != "test" or not labels:
        fail(_USE)
    rules, given = rules_of(settings), _labels(labels)
    hears = audience(given, rules, _instant(at), handled=not unhandled, page=needs_person)
    print(",".join(sorted(hears.destinations)) or "(nobody)")
    for line in _why(hears, settings.routes, rules, given):
        typer.echo(line, err=True)
    wanted = {one.strip() for one in expect.split(",") if one.strip()}
    if (wanted and wanted != hears.destinations) or hears.nobody:
        if wanted:
            typer.echo(f"expected: {','.join(sorted(wanted))}", err=True)
        raise typer.Exit(Exit.FINDINGS)


def _labels(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            fail(f"{text!r} is not LABEL=VALUE, such as severity=critical")
        found[name] = value.strip('"')
    return found


def _instant(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--at {text!r} is not an instant such as 2026-01-05T03:00:00+01:00")
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _why(hears: Audience, known: Sequence[Route], rules: Rules, labels: Mapping[str, str]) -> Iterator[str]:
    team = rules.team_of(labels)
    yield f"severity {rules.severity_of(labels)}, {f'team {team}' if team else 'no team'}"
    for place in hears.taken:
        yield f"route {place + 1}: {_about(known[place])}"
    if not hears.taken:
        yield "no route takes it"
    if hears.opens_at is not None:
        yield f"silent now; told when something is still open at {hears.opens_at.isoformat(timespec='seconds')}"


def tree(settings: Settings) -> Iterator[str]:
    """Yield the routes as a tree, in the order in which they are asked."""
    yield "routes: the first that fits wins, unless it goes on"
    for place, route in enumerate(settings.routes, 1):
        goes_on = ", goes on" if route.continue_ else ""
        yield f"├── {place}  {_about(route)}  →  {', '.join(route.destinations)}{goes_on}"
    open_end = not any(one.takes_all and not one.continue_ for one in settings.routes)
    yield f"└── whatever is left  →  {'nobody' if open_end else 'nothing is left'}"
    if settings.page is not None:
        after = format_duration(settings.page.after)
        yield f"page: {settings.page.destination}, and after {after} when nothing is fixed"
    if settings.storms is not None:
        within = format_duration(settings.storms.within)
        yield f"digest: in Slack, beyond {settings.storms.after} incidents within {within}"


def _about(route: Route) -> str:
    """Say which incidents a route is for."""
    parts = [str(one) for one in route.matchers]
    parts += (
        [f"severity {' or '.join([one for one in Severity if one in route.severities])}"] if route.severities else []
    )
    parts += [f"team {' or '.join(sorted(route.teams))}"] if route.teams else []
    return f"{', '.join([*parts, *route.times]) or 'every alert'} ({route.incidents})"
