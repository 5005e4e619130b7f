"""``responder doctor``: looks at the configuration, the store and everything it reaches out to. Changes nothing."""

import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from responder import app as root
from responder.cli.clusters import look_at_clusters
from responder.cli.doctor_channels import look_at_channels
from responder.cli.doctor_store import look_at_store
from responder.cli.exits import Exit
from responder.cli.findings import Finding, note, summary, well, wrong
from responder.cli.hosts import look_at_commands
from responder.cli.reach import look_outside
from responder.domain.errors import SettingsError
from responder.domain.modes import Mode
from responder.language.promql_faults import askable
from responder.playbook.library import Library, load_library
from responder.playbook.lookups import NO_PROMETHEUS
from responder.settings import Settings, WrongSettings, cross_check
from responder.telemetry import Redactor


async def run_doctor(config_file: Path) -> int:
    """Print one line for each thing looked at; 0 all well, 1 something to mend, 2 no usable configuration."""
    try:
        settings = root.read_settings(config_file)
    except SettingsError as error:
        for complaint in error.complaints if isinstance(error, WrongSettings) else (error,):
            print(wrong("configuration", str(complaint)))
        return Exit.USAGE
    library = load_library(settings.playbooks, root.catalogue(), root.names_of(settings), {})
    found = [well("configuration", str(config_file)), *_playbooks(settings, library), *_secret_files(settings)]
    found += _routes(settings)
    found += await look_at_store(settings.store)
    found += await look_outside(settings, _queries(library))
    found += await look_at_channels(settings)
    found += await look_at_clusters(settings)
    found += await look_at_commands(settings)
    redactor = Redactor(settings.secrets)
    for finding in found:
        print(redactor.redact(str(finding)))
    print(summary(found))
    return Exit.FINDINGS if any(finding.mark == "✘" for finding in found) else Exit.OK


def _queries(library: Library) -> Mapping[str, str]:
    """Return the queries that Prometheus can be asked to read, each with a file that it stands in."""
    found: dict[str, str] = {}
    for playbook in library.playbooks.values():
        steps = (condition for step in playbook.steps for condition in (*step.when, *step.verify))
        for condition in (*playbook.when, *playbook.verify, *steps):
            asked = [str(query) for query in (condition.query, *condition.requires) if query is not None]
            found |= {query: playbook.file for query in map(askable, asked) if query is not None}
    return found


def _playbooks(settings: Settings, library: Library) -> Iterator[Finding]:
    for file, count in library.errors.items():
        more = f" and {count - 1} more" if count > 1 else ""
        first = next(one for one in library.complaints[file] if one.severity == "error")
        yield wrong("playbooks", f"{first}{more}; see: responder check")
    modes = {playbook.name: playbook.mode for playbook in library.playbooks.values()}
    for complaint in cross_check(settings, library.modes, library.looks_back):
        yield wrong("playbooks", f"{complaint.message}; {complaint.hint}")
    asking = [file for file, found in library.complaints.items() if any(one.rule == NO_PROMETHEUS for one in found)]
    if asking:
        yield wrong("prometheus", f"none is configured, and {', '.join(asking)} asks one: add prometheus:")
    if not library.files:
        yield note("playbooks", f"none in {', '.join(str(path) for path in settings.playbooks)}")
    elif not library.errors:
        acting = sum(mode.reach >= Mode.APPROVE.reach for mode in modes.values())
        yield well("playbooks", f"{len(modes)} loaded, {acting} of them may act")


def _routes(settings: Settings) -> Iterator[Finding]:
    """Say whether there are incidents of which nobody hears."""
    if any(one.takes_all and not one.continue_ for one in settings.routes):
        yield well("routes", f"{len(settings.routes)}, and every incident is told to somebody")
    else:
        count = len(settings.routes) or "none"
        hint = 'end routes with one without matchers and incidents: all, such as { slack: "#alerts", incidents: all }'
        yield note("routes", f"{count}; what none of them takes is told to nobody: {hint}")


def _secret_files(settings: Settings) -> Iterator[Finding]:
    secrets = [path for path in settings.files if _is_secret(path, settings.secrets)]
    open_to_all = [path for path in secrets if path.exists() and path.stat().st_mode & stat.S_IROTH]
    for path in open_to_all:
        if any(part.startswith("..") for part in path.resolve().parts):
            yield note("secrets", f"{path} is readable by everybody in the container; defaultMode: 0400 mends it")
        else:
            yield wrong("secrets", f"{path} is readable by everybody; chmod 600 {path}")
    if secrets and not open_to_all:
        yield well("secrets", f"{len(secrets)} file(s), none readable by everybody")


def _is_secret(path: Path, secrets: Collection[str]) -> bool:
    """Tell tokens and private keys from the configuration and from certificates, which everybody may read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.strip() in secrets or "PRIVATE KEY-----" in text
