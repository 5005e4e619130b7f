"""The verbs' parts, made from the settings: what decide goes by, how bodies are read, who is told and how."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from responder.app.channels import more_channels
from responder.app.masked import MaskedPictures, masked
from responder.clients.heads_file import HeadsFile
from responder.decide.rules import Rules
from responder.domain.alerts import Notice
from responder.domain.errors import IntakeError
from responder.domain.kubernetes import SYSTEM_NAMESPACE
from responder.intake.formats import parse
from responder.playbook.model import Playbook
from responder.playbook.render import render_text, render_url
from responder.ports.notifier import Notifier, Pictures
from responder.ports.pace import Pace
from responder.settings import HttpConfig, PageSettings, Settings
from responder.telemetry import Privacy, Redactor
from responder.tell.docs import Docs, DocsOf, Subject

if TYPE_CHECKING:
    from responder.clients.slack import SlackClient

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod reads in which namespace it runs."""


def rules_of(settings: Settings) -> Rules:
    """Return the configuration's share in decisions."""
    clusters = settings.kubernetes.clusters

    def cluster_of(labels: Mapping[str, str]) -> str:
        named = labels.get(settings.kubernetes.cluster_label, "")
        if not named and len(clusters) == 1:
            return next(iter(clusters))
        if named and named not in clusters:
            known = ", ".join(clusters) or "none"
            raise ValueError(f"the cluster {named!r} is not configured (configured: {known})")
        return named

    return Rules(
        severity_of=settings.severity.of,
        connection_of=settings.connections.pick,
        cluster_of=cluster_of,
        clusters=frozenset(clusters),
        team_label=settings.team_label,
        max_mode=settings.max_mode,
        policies=settings.policies,
        protect=(*settings.protect, *own_protection()),
        routes=settings.routes,
        page=settings.page.destination if settings.page else "",
        page_after=(settings.page or PageSettings("")).after,
        group_interval=settings.group_interval,
        episode_ttl=settings.episode_ttl,
        asked=frozenset(asked_sources(settings)),
    )


def own_protection(namespace_file: Path = NAMESPACE_FILE) -> tuple[str, ...]:
    """Return what is protected without being told: the clusters' own namespace, and the one that we run in."""
    try:
        own = namespace_file.read_text(encoding="utf-8").strip()
    except OSError:
        own = ""
    return (f"*/namespace/{SYSTEM_NAMESPACE}", *((f"*/namespace/{own}",) if own else ()))


def asked_sources(settings: Settings) -> Mapping[str, HttpConfig]:
    """Return how the sources are reached that can be asked; Grafana's API is another one."""
    return {
        name: source.api
        for name, source in settings.sources.items()
        if source.api is not None and source.kind == "alertmanager"
    }


def parser_of(settings: Callable[[], Settings]) -> Callable[[str, bytes], Notice]:
    """Return what reads a source's bodies by the kind it is configured with now."""

    def read(source: str, body: bytes) -> Notice:
        found = settings().sources.get(source)
        if found is None:
            raise IntakeError(f"the source {source!r} is no longer configured; its delivery cannot be read", 404)
        return parse(found.kind, body)

    return read


def docs_of(playbook_for: Callable[[str, str], Playbook | None]) -> DocsOf:
    """Return what tells a playbook's docs, with an alert's values put in; playbooks go by name and revision."""

    def docs(about: Subject) -> Docs | None:
        playbook = playbook_for(about.playbook, about.revision)
        if playbook is None:
            return None
        names: dict[str, object] = {
            "labels": about.labels,
            "annotations": about.annotations,
            "connection": about.connection,
            "owner": about.owner,
            "steps": {},
        }
        written = playbook.docs
        texts = {"meaning": written.meaning, "impact": written.impact, "by_hand": written.by_hand}
        rendered = {name: render_text(text.text, names) for name, text in texts.items() if text is not None}
        return Docs(
            summary=render_text(playbook.summary, names),
            runbook_url=render_url(written.runbook_url, names) if written.runbook_url else "",
            on_failure=playbook.on_failure,
            on_timeout=playbook.approval.on_timeout,
            attempts=playbook.limits.attempts or 1,
            revert_after=playbook.revert_after,
            **rendered,
        )

    return docs


def heads_of(settings: Settings, store_url: str) -> HeadsFile | None:
    """Return where the heads of the audit log go: as configured, else beside the SQLite store in use."""
    path = settings.audit_heads_file
    if path is None and store_url.startswith("sqlite:///"):
        path = Path(store_url.removeprefix("sqlite:///") + ".heads.jsonl")
    return None if path is None else HeadsFile(path)


@dataclass(frozen=True, slots=True)
class Channels:
    """The configured channels by kind, and how their connections are given back."""

    notifiers: Mapping[str, Notifier]
    closers: tuple[Callable[[], Awaitable[None]], ...] = ()
    pictures: Mapping[str, Pictures] = field(default_factory=dict)


def privacy_of(settings: Settings) -> Privacy:
    """Return what is kept out beside the secrets; the names of people who are known here stay readable."""
    access, privacy = settings.access, settings.privacy
    chat = {one.name for one in access.slack.values()} | {one.name for one in access.pagerduty.values()}
    people = frozenset({one.name for one in access.tokens} | chat | access.users.keys())
    return Privacy(privacy.labels, privacy.patterns, privacy.personal, people)


def channels_of(settings: Settings, console: TextIO, redactor: Redactor, pace: Pace) -> Channels:
    """Return the configured channels, which keep to ``pace`` and are shown no secret; the console is always there."""
    from responder.notifiers.console import ConsoleNotifier

    found: dict[str, Notifier] = {"console": ConsoleNotifier(console)}
    closers: list[Callable[[], Awaitable[None]]] = []
    pictures: dict[str, Pictures] = {}
    if settings.notify.slack is not None:
        from responder.clients.slack import SlackClient
        from responder.notifiers.slack import SlackNotifier

        slack = SlackClient(settings.notify.slack.token, api_url=settings.notify.slack.api_url, pace=pace)
        pressable = settings.notify.slack.pressable and bool(settings.access.slack)
        found["slack"] = SlackNotifier(slack, pressable=pressable, mention=settings.notify.slack.mention)
        slack.warm()
        closers.append(slack.close)
        pictures |= _slack_pictures(slack) if settings.notify.slack.pictures else {}
    if settings.notify.pagerduty is not None:
        from responder.clients.pagerduty import PagerDutyClient
        from responder.notifiers.pagerduty import PagerDutyNotifier

        pagerduty = PagerDutyClient(api_url=settings.notify.pagerduty.api_url, pace=pace)
        how = settings.notify.pagerduty
        found["pagerduty"] = PagerDutyNotifier(pagerduty, how.services, interop=how.interop, changes=how.changes)
        closers.append(pagerduty.close)
    more, give_back = more_channels(settings.notify)
    found |= more
    closers += give_back
    shown = {kind: MaskedPictures(one, redactor) for kind, one in pictures.items()}
    return Channels({kind: masked(one, redactor) for kind, one in found.items()}, tuple(closers), shown)


def _slack_pictures(slack: "SlackClient") -> dict[str, Pictures]:
    """Return what shows charts in Slack; nothing without what paints them: messages link to the chart all the same."""
    from responder.clients.drawing import can_draw, png
    from responder.notifiers.slack_pictures import SlackPictures

    return {"slack": SlackPictures(slack, png)} if can_draw() else {}
