"""From a file and flags to settings."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from responder.domain.alerts import Severity
from responder.domain.errors import PlaybookError, SettingsError
from responder.language.intervals import TimeInterval
from responder.language.strict_yaml import Document, load, load_bytes
from responder.settings import sections_people as people
from responder.settings import sections_policies as policies
from responder.settings import sections_routes as routes
from responder.settings import sections_targets as targets
from responder.settings.check import is_loopback
from responder.settings.model import RETENTION, Access, PrivacySettings, Settings, SeverityRule, StoreSettings
from responder.settings.reader import Fields, Node, Reading, WrongSettings, read_secret_file
from responder.settings.sections_commands import read_commands
from responder.settings.sections_privacy import read_privacy

KEYS = (
    "store",
    "redis",
    "max_mode",
    "brake_file",
    "audit_heads_file",
    "playbooks",
    "sources",
    "access",
    "severity",
    "team_label",
    "prometheus",
    "kubernetes",
    "connections",
    "commands",
    "time_intervals",
    "policies",
    "notify",
    "page",
    "routes",
    "digest",
    "protect",
    "privacy",
    "retention",
    "external_url",
    "group_interval",
    "episode_ttl",
)
RESERVED = {
    "teams": "kept for playbook folders, targets and approvers per team",
    "defaults": "kept for what playbooks have in common",
    "watch": "kept for PromQL as a trigger",
    "kpis": "kept for service objectives",
    "cost": "kept for what an action costs",
    "reports": "kept for scheduled reports",
    "services": "kept for dependencies between services",
    "records": "kept for encrypted rollback records",
}
_SHORTEST_HISTORY = timedelta(days=2)
"""Limits count back up to 24 hours and further by their own windows: what they count must still be there."""


def load_settings(
    path: Path | None, flags: Mapping[str, str], read_secret: Callable[[Path], str] = read_secret_file
) -> Settings:
    """Read the configuration at ``path`` (None: all defaults) under ``flags``, and every secret it names.

    Flags: ``web.listen-address`` (several with commas) and ``web.external-url``, without dashes in front.
    ``read_secret=unread_secret`` checks a file where its secrets are not at hand. Raises SettingsError; for what is
    wrong in the file it is a WrongSettings with every complaint.
    """
    document, digest = _document(path)
    folder = (Path.cwd() if path is None else path.parent).absolute()
    reading = Reading(document, folder, read_secret)
    settings = _settings(reading.root().keys(KEYS, RESERVED), flags)
    if reading.complaints:
        raise WrongSettings(reading.complaints)
    return replace(
        settings,
        file=document.file,
        digest=digest,
        files=(*(() if path is None else (path.absolute(),)), *reading.files),
        secrets=frozenset(reading.secrets) - {""},
    )


def _document(path: Path | None) -> tuple[Document, str]:
    if path is None:
        return load("", "(defaults)"), ""
    try:
        data = path.read_bytes()
    except OSError as error:
        mend = "write one (docs/tutorial.md begins with it), or name another with --config.file"
        message = f"{path} cannot be read: {error.strerror or error}; {mend}"
        raise SettingsError(message) from error
    try:
        return load_bytes(data, str(path), secret=True), hashlib.sha256(data).hexdigest()
    except PlaybookError as error:
        raise WrongSettings(error.complaints) from error


def _settings(fields: Fields, flags: Mapping[str, str]) -> Settings:
    usual = Settings()
    listen = tuple(one.strip() for one in flags.get("web.listen-address", "").split(",") if one.strip())
    access = fields.read("access", people.read_access, Access())
    _check_anonymous(fields, access, listen or usual.listen)
    prometheus = targets.read_prometheus(fields.get("prometheus"))
    connections = targets.ReadConnections(fields.get("connections"))
    sources = people.read_sources(fields.get("sources"), anonymous=access.anonymous)
    people.check_apart(fields, access, sources)
    notify = people.read_notify(fields.get("notify"))
    intervals = _intervals(fields.get("time_intervals"))
    return Settings(
        listen=listen or usual.listen,
        external_url=flags.get("web.external-url", "").rstrip("/")
        or fields.read("external_url", Node.url, "").rstrip("/"),
        store=fields.read("store", targets.read_store, _default_store(fields)),
        redis=fields.read("redis", targets.read_redis, None),
        max_mode=fields.read("max_mode", policies.read_mode, usual.max_mode),
        brake_file=fields.read("brake_file", Node.file_path, None),
        audit_heads_file=fields.read("audit_heads_file", Node.file_path, None),
        playbooks=fields.read("playbooks", targets.read_playbooks, (fields.owner.reading.folder / "playbooks",)),
        sources=sources,
        access=access,
        severity=fields.read("severity", _severity, SeverityRule()),
        team_label=fields.read("team_label", Node.text, usual.team_label),
        prometheus=prometheus,
        kubernetes=targets.read_kubernetes(fields.get("kubernetes"), prometheus),
        connections=targets.with_sources(connections.matchers, sources),
        connections_http=connections.http,
        connections_redis=connections.redis,
        connections_postgres=connections.postgres,
        connections_pgbouncer=connections.pgbouncer,
        connections_docker=connections.docker,
        connections_host=connections.host,
        commands=read_commands(fields.get("commands"), connections.host),
        time_intervals=intervals,
        policies=tuple(policies.read_policy(one) for one in fields.get("policies").items()),
        notify=notify,
        page=fields.read("page", lambda one: people.read_page(one, notify), None),
        routes=routes.read_routes(fields.get("routes"), notify, intervals),
        storms=fields.read("digest", routes.read_digest, usual.storms),
        protect=tuple(one.text() for one in fields.get("protect").items()),
        privacy=fields.read("privacy", read_privacy, PrivacySettings()),
        retention=_retention(fields.get("retention")),
        group_interval=fields.read("group_interval", Node.duration, usual.group_interval),
        episode_ttl=fields.read("episode_ttl", Node.duration, usual.episode_ttl),
    )


def _default_store(fields: Fields) -> StoreSettings:
    return StoreSettings(f"sqlite:///{fields.owner.reading.folder / 'responder.db'}")


def _check_anonymous(fields: Fields, access: Access, listen: tuple[str, ...]) -> None:
    outside = [one for one in listen if not is_loopback(one)]
    if access.anonymous and outside:
        node = fields.get("access").keys(("tokens", "users", "anonymous")).get("anonymous")
        message = f"without credentials only this machine may reach it, but {outside[0]} is open to others"
        node.complain(message, "anonymous", "listen on 127.0.0.1, or give out access.tokens", at_key=True)


def _severity(node: Node) -> SeverityRule:
    fields = node.keys(("label", "map", "default"))
    usual = SeverityRule()
    return SeverityRule(
        label=fields.read("label", Node.text, usual.label),
        map={name: _severity_word(one) for name, one in fields.get("map").named().items()},
        default=fields.read("default", _severity_word, usual.default),
    )


def _severity_word(node: Node) -> Severity:
    return Severity(node.choice(tuple(str(severity) for severity in Severity)))


def _intervals(node: Node) -> dict[str, tuple[TimeInterval, ...]]:
    """Read Alertmanager's own form: a list of ``{ name, time_intervals: [ … ] }``."""
    found: dict[str, tuple[TimeInterval, ...]] = {}
    for one in node.items():
        fields = one.keys(("name", "time_intervals"))
        name = fields.required("name", Node.text, "", "what playbooks call it")
        if name in found:
            fields.get("name").complain(f"a second interval named {name!r}", "duplicate")
        try:
            found[name] = (TimeInterval.parse({"time_intervals": fields.get("time_intervals").value}),)
        except ValueError as error:
            fields.get("time_intervals").complain(str(error), "interval")
    return found


def _retention(node: Node) -> dict[str, timedelta]:
    fields = node.keys(RETENTION)
    found = {name: fields.read(name, Node.duration, usual) for name, usual in RETENTION.items()}
    if "history" in fields and found["history"] < _SHORTEST_HISTORY:
        fields.get("history").complain("limits look back further than this", "value", "keep at least 2d")
    return found
