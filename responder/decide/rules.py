"""What decide takes from the configuration, as small values: it knows no settings and no files."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol

from responder.domain.alerts import Severity
from responder.domain.limits import Cap
from responder.domain.modes import Mode, strictest
from responder.language.intervals import TimeInterval
from responder.language.matchers import Matcher

Labels = Mapping[str, str]


class Policy(Protocol):
    """The highest mode for the alerts that all ``matchers`` fit, and the limits that all playbooks share there."""

    @property
    def matchers(self) -> Sequence[Matcher]:
        """Which alerts."""
        ...

    @property
    def max_mode(self) -> Mode:
        """How far a playbook may go for them."""
        ...

    @property
    def cap(self) -> Cap | None:
        """What all playbooks together may do for them."""
        ...


class Route(Protocol):
    """Where the incidents of the alerts that all ``matchers`` fit are told."""

    @property
    def severities(self) -> Collection[Severity]:
        """How urgent they are; none: however."""
        ...

    @property
    def teams(self) -> Collection[str]:
        """Whose they are; none: anybody's."""
        ...

    @property
    def active(self) -> Sequence[TimeInterval]:
        """When it tells; none: always."""
        ...

    @property
    def mute(self) -> Sequence[TimeInterval]:
        """When it does not tell."""
        ...

    @property
    def matchers(self) -> Sequence[Matcher]:
        """Which alerts."""
        ...

    @property
    def destinations(self) -> Sequence[str]:
        """Where to, such as ``slack:#alerts``."""
        ...

    @property
    def incidents(self) -> Literal["handled", "unhandled", "all"]:
        """Those a playbook decided something about, those without one, or all."""
        ...

    @property
    def continue_(self) -> bool:
        """Whether the following routes are asked as well."""
        ...


def medium(_: Labels) -> Severity:
    """Stand in for the configured severity."""
    return Severity.MEDIUM


def no_connection(kind: str, _: Labels) -> str:
    """Stand in where no connections are configured; raises ValueError."""
    msg = f"no connection of the kind {kind} is configured"
    raise ValueError(msg)


def cluster_label(labels: Labels) -> str:
    """Return the cluster as the label ``cluster`` names it."""
    return labels.get("cluster", "")


@dataclass(frozen=True, slots=True)
class Rules:
    """The configuration's share in decisions.

    ``connection_of(kind, labels)`` names the one connection that fits an alert, ``cluster_of(labels)`` its cluster
    (empty: it does not say); both raise ValueError with the sentence to show. ``page`` is the destination for "a person
    is needed", empty without one, ``page_after`` how long a page waits for a fix. An alert that changed
    ``flap_changes`` times within ``flap_window`` is flapping. ``group_interval`` is the sender's; ``episode_ttl`` is
    how long an episode stays open that nothing confirms. ``asked`` are the sources whose own API can be asked.
    ``clusters`` are the names of those there are; None: whatever a playbook names.
    """

    severity_of: Callable[[Labels], Severity] = medium
    connection_of: Callable[[str, Labels], str] = no_connection
    cluster_of: Callable[[Labels], str] = cluster_label
    clusters: Collection[str] | None = None
    team_label: str = "team"
    max_mode: Mode = Mode.AUTO
    policies: Sequence[Policy] = ()
    protect: Sequence[str] = ()
    routes: Sequence[Route] = ()
    page: str = ""
    page_after: timedelta = timedelta(minutes=5)
    group_interval: timedelta = timedelta(minutes=5)
    episode_ttl: timedelta = timedelta(hours=24)
    flap_changes: int = 5
    flap_window: timedelta = timedelta(minutes=10)
    asked: Collection[str] = ()

    def team_of(self, labels: Labels) -> str:
        """Return whose alert it is, empty when it does not say."""
        return labels.get(self.team_label, "")

    def mode_for(self, labels: Labels, wanted: Mode) -> Mode:
        """Return the strictest of a playbook's mode, the policies for these labels and the highest mode allowed."""
        allowed = [policy.max_mode for policy in self.policies if fits(policy.matchers, labels)]
        if not allowed and self.max_mode is Mode.AUTO:
            return wanted
        return strictest((wanted, self.max_mode, *allowed))

    def caps_for(self, labels: Labels) -> tuple[Cap, ...]:
        """Return the limits that all playbooks share for these labels."""
        return tuple(policy.cap for policy in self.policies if policy.cap is not None and fits(policy.matchers, labels))


def fits(matchers: Iterable[Matcher], labels: Labels) -> bool:
    """Say whether all matchers fit."""
    return all(matcher.matches(labels) for matcher in matchers)
