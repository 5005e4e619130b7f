"""The command line: each command is a function; what it needs is imported when it runs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from responder.cli import audit, brakes, letters, people, routes
from responder.cli.exits import Exit

app = typer.Typer(
    name="responder",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
ConfigFile = Annotated[Path, typer.Option("--config.file", help="the configuration")]

for command in (
    people.explain,
    people.runs,
    people.incidents,
    people.decisions,
    people.deliveries,
    people.approve,
    people.reject,
    people.rollback,
    people.stop,
    brakes.pause,
    brakes.halt,
    brakes.pauses,
    brakes.resume,
    brakes.reset,
    brakes.clear,
    people.ack,
    letters.letters,
    routes.routes,
    audit.audit,
):
    app.command()(command)


@app.command()
def serve(
    *,
    config_file: ConfigFile = Path("responder.yml"),
    listen: Annotated[list[str] | None, typer.Option("--web.listen-address", help="host:port, repeatable")] = None,
    web_config: Annotated[Path | None, typer.Option("--web.config.file", help="TLS and basic auth")] = None,
    external_url: Annotated[str, typer.Option("--web.external-url", help="how people reach it, for links")] = "",
    log_level: Annotated[str, typer.Option("--log.level", help="debug, info, warn or error")] = "info",
    log_format: Annotated[str, typer.Option("--log.format", help="logfmt or json")] = "json",
    role: Annotated[
        str, typer.Option("--role", help="all; act or tell where processes share the work over one PostgreSQL")
    ] = "all",
) -> None:
    """Receive alerts and act on them."""
    import asyncio
    import gc

    # What is loaded now stays: looking for garbage in it while it is loaded is a fifth of a start.
    gc.disable()
    from responder import app as root

    options = root.ServeOptions(
        config_file=config_file,
        listen=tuple(listen or ("127.0.0.1:9095",)),
        web_config=web_config,
        external_url=external_url,
        log_level=log_level,
        log_format=log_format,
        role=role,
    )
    raise typer.Exit(asyncio.run(root.serve(options)))


@app.command()
def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="playbooks or folders; default: those of the configuration")
    ] = None,
    config_file: ConfigFile = Path("responder.yml"),
    output: Annotated[str, typer.Option("-o", "--output", help="text, json, github or sarif")] = "text",
    syntax_only: Annotated[bool, typer.Option("--syntax-only", help="look nothing up in the configuration")] = False,
) -> None:
    """Read playbooks and say everything that is wrong with them."""
    from responder import app as root
    from responder.cli.check import run_check
    from responder.domain.errors import Complaint
    from responder.playbook.library import Library
    from responder.settings import cross_check, worth_knowing

    names, settings, folders = None, None, list(paths or ())
    if not syntax_only and (config_file.exists() or not folders):
        settings = root.read_settings(config_file)
        names, folders = root.names_of(settings), folders or list(settings.playbooks)

    def of_settings(found: Library) -> Sequence[Complaint]:
        if settings is None:
            return ()
        return (*worth_knowing(settings), *cross_check(settings, found.modes, found.looks_back))

    raise typer.Exit(
        run_check(
            folders,
            output=output,
            syntax_only=syntax_only,
            catalogue=root.catalogue(),
            names=names,
            of_settings=of_settings,
        ),
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of playbooks, for editors."""
    from responder import app as root
    from responder.cli.schema import run_schema

    sys.stdout.write(run_schema(root.catalogue()))


@app.command()
def doctor(config_file: ConfigFile = Path("responder.yml")) -> None:
    """Check the configuration, the store and everything it reaches out to."""
    import asyncio

    from responder.cli.doctor import run_doctor

    raise typer.Exit(asyncio.run(run_doctor(config_file)))


@app.command()
def rbac(
    config_file: ConfigFile = Path("responder.yml"),
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", help="grant it there only, repeatable; default: everywhere")
    ] = None,
    account: Annotated[
        str, typer.Option("--service-account", help="who gets it, as NAMESPACE/NAME")
    ] = "responder/responder",
) -> None:
    """Print the Kubernetes roles that the playbooks get by with."""
    from responder.cli.rbac import run_rbac

    raise typer.Exit(run_rbac(config_file, namespace or (), account))


@app.command()
def version() -> None:
    """Print the version."""
    _print_version(wanted=True)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from responder import __version__

        print(f"responder {__version__}, Python {sys.version.split()[0]}")
        raise typer.Exit(Exit.OK)


@app.callback()
def main(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda wanted: _print_version(wanted=wanted), is_eager=True, help="print the version"
        ),
    ] = False,
) -> None:
    """Fixes what Alertmanager reports, within limits, and undoes what did not help."""


@app.command()
def demo() -> None:
    """Show one fix that is kept, one that is undone and one that waits for approval; needs nothing."""
    import asyncio

    from responder.demo.story import tell

    raise typer.Exit(asyncio.run(tell()))


def run() -> None:
    """Run the command line; whatever was not foreseen is told in one line."""
    from responder.domain.errors import ResponderError, StoreError

    try:
        app()
    except StoreError as error:
        _say(error)
        raise SystemExit(int(Exit.UNREACHABLE)) from None
    except ResponderError as error:
        _say(error)
        raise SystemExit(int(Exit.USAGE)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(int(Exit.OK)) from None


def _say(error: Exception) -> None:
    """Print what is wrong, without a password that may stand in it."""
    from responder.telemetry import Redactor

    print(f"responder: {Redactor().redact(str(error))}", file=sys.stderr)
