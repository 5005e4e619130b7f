"""The configuration as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from responder.domain.alerts import Severity
from responder.domain.limits import Cap
from responder.domain.modes import Mode
from responder.language.commands import Command
from responder.language.intervals import TimeInterval
from responder.language.matchers import Matcher
from responder.settings.http import NO_AUTH, HttpAuth, HttpConfig
from responder.settings.model_channels import DigestSettings, Notify, PageSettings, Route

Reconcilers = Literal["refuse", "warn", "allow"]
Role = Literal["viewer", "operator", "admin"]


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where everything is kept; ``password`` goes before one in the URL."""

    url: str = field(default="sqlite:///responder.db", repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """What people read: of which kind it is, and where; no user and no password."""
        if self.url.startswith("sqlite:"):
            return f"SQLite {self.url.removeprefix('sqlite:///')}"
        parts = urlsplit(self.url)
        if "@" in parts.path:  # part of a password, of which some character is not encoded
            return "PostgreSQL"
        try:
            return f"PostgreSQL {parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"
        except ValueError:  # several hosts, each with its port
            return f"PostgreSQL {parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where what may be lost is carried."""

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HmacSettings:
    """Grafana's signature: hexadecimal HMAC-SHA256 of the body, with ``timestamp_header`` of ``<time>:<body>``.

    A signature whose time is further than ``max_age`` from ours is refused: it may be a replay.
    """

    secret: str = field(repr=False)
    header: str = "X-Grafana-Alerting-Signature"
    timestamp_header: str | None = None
    max_age: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A sender of webhooks and how it proves who it is. ``api`` is how its own API is asked."""

    kind: Literal["alertmanager", "grafana"] = "alertmanager"
    auth: HttpAuth = NO_AUTH
    api: HttpConfig | None = None
    hmac: HmacSettings | None = None
    client_certificate: bool = False

    @property
    def secrets(self) -> frozenset[str]:
        """What proves who it is: the credentials, the password or what it signs with."""
        basic = None if self.auth.basic is None else self.auth.basic.password
        signed = None if self.hmac is None else self.hmac.secret
        return frozenset(filter(None, (self.auth.credentials, basic, signed)))

    @property
    def api_url(self) -> str | None:
        """The base URL of its API, when it may be asked."""
        return None if self.api is None else self.api.url


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and what its holder may do."""

    name: str
    role: Role
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SlackUser:
    """Who a Slack user is here: the name in the audit log, and what they may do.

    ``groups`` are what ``approval.from`` calls ``slack:@GROUP``. With ``teams`` the role counts for the incidents of
    these teams only; for all others it is viewer.
    """

    name: str
    role: Role
    groups: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PagerDutyUser:
    """Who a PagerDuty user is here; with ``teams`` the role counts for the incidents of these teams only."""

    name: str
    role: Role
    teams: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the API. ``users`` gives roles to the users of the web configuration file (viewer otherwise).

    ``slack`` says who Slack's users are, by their ids; whoever is not in it may press nothing. ``pagerduty`` says the
    same of PagerDuty's users; where nobody is in it, whoever may acknowledge there counts.
    """

    tokens: tuple[Token, ...] = ()
    users: Mapping[str, Role] = field(default_factory=dict)
    anonymous: bool = False
    slack: Mapping[str, SlackUser] = field(default_factory=dict)
    pagerduty: Mapping[str, PagerDutyUser] = field(default_factory=dict)


_USUAL = {str(severity): severity for severity in Severity} | {
    "page": Severity.CRITICAL,
    "error": Severity.HIGH,
    "warning": Severity.MEDIUM,
    "info": Severity.LOW,
    "none": Severity.LOW,
}


@dataclass(frozen=True, slots=True)
class SeverityRule:
    """Which label says how urgent an alert is, and what its values mean; ``map`` goes before the usual words."""

    label: str = "severity"
    map: Mapping[str, Severity] = field(default_factory=dict)
    default: Severity = Severity.MEDIUM

    def of(self, labels: Mapping[str, str]) -> Severity:
        """How urgent an alert with these labels is."""
        value = labels.get(self.label, "")
        return self.map.get(value) or _USUAL.get(value.lower(), self.default)


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """A Prometheus, and the alerts it answers for (none given: all)."""

    http: HttpConfig
    matchers: tuple[Matcher, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Kubernetes cluster, as the pod's service account unless there is a kubeconfig.

    ``prometheus`` names the one that watches it.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    prometheus: str | None = None


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """The clusters, and the alert label that names one.

    ``reconcilers`` says what to do about fields that something else keeps as they are.
    """

    cluster_label: str = "cluster"
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    reconcilers: Reconcilers = "refuse"


@dataclass(frozen=True, slots=True)
class HttpConnection:
    """An HTTP service as a target: what may be called there (``GET /*``), and for which alerts.

    ``most`` is how many bytes an answer may have.
    """

    http: HttpConfig
    allow: tuple[str, ...]
    matchers: tuple[Matcher, ...] = ()
    timeout: timedelta = timedelta(seconds=8)
    idempotent: bool = False
    most: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RedisConnection:
    """A Redis as a target; ``parameters`` may be set there (None: what the action allows by itself)."""

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    matchers: tuple[Matcher, ...] = ()
    parameters: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class PostgresConnection:
    """A PostgreSQL as a target; ``parameters`` as for Redis."""

    dsn: str = field(repr=False)
    matchers: tuple[Matcher, ...] = ()
    parameters: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class DockerConnection:
    """A container engine as a target: its socket, and the containers that may be changed (``*`` for any text)."""

    path: Path
    containers: tuple[str, ...]
    matchers: tuple[Matcher, ...] = ()


@dataclass(frozen=True, slots=True)
class SshConnection:
    """How a machine is reached over SSH; ``timeout`` is for the connection. ``python`` is there, not here."""

    address: str
    user: str
    key_file: Path
    known_hosts: Path
    port: int
    python: str
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class HostConnection:
    """A machine as a target: the one that this runs on, or another over SSH.

    ``folder`` is where it is written down there what became of what. ``units`` are the units of systemd that may be
    restarted, with ``*`` for any text.
    """

    folder: Path
    matchers: tuple[Matcher, ...] = ()
    units: tuple[str, ...] = ()
    ssh: SshConnection | None = None


@dataclass(frozen=True, slots=True)
class Connections:
    """Every connection's matchers by kind and name: which one an alert is about."""

    kinds: Mapping[str, Mapping[str, tuple[Matcher, ...]]] = field(default_factory=dict)

    def names(self, kind: str) -> frozenset[str]:
        """The names configured for ``kind`` (``http``, ``redis``, ``postgres``)."""
        return frozenset(self.kinds.get(kind, {}))

    def pick(self, kind: str, labels: Mapping[str, str]) -> str:
        """Return the one connection whose matchers fit; the only one there is fits when it has no matchers.

        Raises ValueError with a sentence when none or several fit.
        """
        known = self.kinds.get(kind, {})
        if len(known) == 1 and not next(iter(known.values())):
            return next(iter(known))
        fitting = [name for name, wanted in known.items() if wanted and all(one.matches(labels) for one in wanted)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise ValueError(f"several {kind} connections fit this alert: {', '.join(sorted(fitting))}")
        configured = ", ".join(sorted(known)) or "none"
        raise ValueError(f"no {kind} connection fits this alert by its matchers (configured: {configured})")


@dataclass(frozen=True, slots=True)
class Policy:
    """The highest mode for the alerts that match, and the limits that all playbooks share there."""

    matchers: tuple[Matcher, ...]
    max_mode: Mode = Mode.AUTO
    cap: Cap | None = None


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """What is kept out of everything that leaves: values of ``labels``, texts of ``patterns`` (RE2), personal data."""

    labels: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    personal: bool = True


DAY = timedelta(days=1)
RETENTION: Mapping[str, timedelta] = {"deliveries": 7 * DAY, "history": 400 * DAY, "audit": 400 * DAY}
"""design.md §4: a week of bodies, a year and a month of what was done."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that ``responder.yml`` and the flags say.

    ``digest`` is the SHA-256 of the file's text; ``files`` are all files that were read, to be watched for changes;
    ``secrets`` are all secret values, so that no log line may hold one. ``brake_file`` stops everything while it
    is there (domain/brakes.py); ``audit_heads_file`` is where the heads of the audit log go. Paths are absolute.
    """

    file: str = ""
    digest: str = ""
    files: tuple[Path, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    listen: tuple[str, ...] = ("127.0.0.1:9095",)
    external_url: str = ""
    store: StoreSettings = StoreSettings()
    redis: RedisSettings | None = None
    max_mode: Mode = Mode.AUTO
    brake_file: Path | None = None
    audit_heads_file: Path | None = None
    playbooks: tuple[Path, ...] = ()
    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    access: Access = Access()
    severity: SeverityRule = SeverityRule()
    team_label: str = "team"
    prometheus: Mapping[str, PrometheusSettings] = field(default_factory=dict)
    kubernetes: KubernetesSettings = KubernetesSettings()
    connections: Connections = Connections()
    connections_http: Mapping[str, HttpConnection] = field(default_factory=dict)
    connections_redis: Mapping[str, RedisConnection] = field(default_factory=dict)
    connections_postgres: Mapping[str, PostgresConnection] = field(default_factory=dict)
    connections_pgbouncer: Mapping[str, PostgresConnection] = field(default_factory=dict)
    connections_docker: Mapping[str, DockerConnection] = field(default_factory=dict)
    connections_host: Mapping[str, HostConnection] = field(default_factory=dict)
    commands: Mapping[str, Command] = field(default_factory=dict)
    time_intervals: Mapping[str, tuple[TimeInterval, ...]] = field(default_factory=dict)
    policies: Sequence[Policy] = ()
    notify: Notify = field(default_factory=Notify)
    page: PageSettings | None = None
    routes: Sequence[Route] = ()
    storms: DigestSettings | None = field(default_factory=DigestSettings)
    protect: tuple[str, ...] = ()
    privacy: PrivacySettings = PrivacySettings()
    retention: Mapping[str, timedelta] = field(default_factory=lambda: RETENTION)
    group_interval: timedelta = timedelta(minutes=5)
    episode_ttl: timedelta = timedelta(hours=24)
