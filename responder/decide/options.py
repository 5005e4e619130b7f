"""What could be done about an alert: its candidate playbooks, each with its mode and its target."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from responder.decide.rules import Rules
from responder.domain.limits import Refusal
from responder.domain.modes import Mode
from responder.domain.targets import KUBERNETES_KINDS, SEPARATOR, is_kubernetes
from responder.domain.verdicts import Verdict
from responder.language.templates import MissingValue
from responder.playbook.model import Playbook
from responder.playbook.render import ClusterMissing, render_pod, render_target

_CONNECTION = ("connection",)


class Candidates(Protocol):
    """The library: which playbooks fit."""

    def candidates(self, labels: Mapping[str, str]) -> list[Playbook]:
        """Return them in the order in which they are tried."""
        ...


Library = Callable[[], Candidates]
"""Returns the library as it is now; it is swapped as a whole."""


@dataclass(frozen=True, slots=True)
class Option:
    """A candidate for one alert. ``target`` is its key, or empty with ``refusal`` saying why there is none.

    Of a late-bound playbook it is what the alert names, a pod or an autoscaler, until its run has looked further.
    """

    playbook: Playbook
    mode: Mode
    target: str = ""
    connection: str = ""
    refusal: Refusal | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """The playbook's name and the target."""
        return self.playbook.name, self.target


def options_for(
    labels: Mapping[str, str], annotations: Mapping[str, str], library: Candidates, rules: Rules
) -> tuple[Option, ...]:
    """Return the options of an alert, in the order in which they are tried."""
    caps = rules.caps_for(labels)
    return tuple(_option(playbook.capped(caps), labels, annotations, rules) for playbook in library.candidates(labels))


def _option(playbook: Playbook, labels: Mapping[str, str], annotations: Mapping[str, str], rules: Rules) -> Option:
    mode = rules.mode_for(labels, playbook.mode)
    if playbook.tells_only:
        # Without steps there is nothing that a policy could hold back.
        return Option(playbook, playbook.mode)
    if mode is Mode.DISABLED:
        return Option(playbook, mode)
    connection = ""
    try:
        connection = _connection(playbook, labels, rules)
        context = {"labels": labels, "annotations": annotations, "connection": connection}
        named = {**context, "cluster": _cluster(playbook, labels, rules)}
        target = (
            render_pod(playbook, named) if playbook.by_owner and playbook.late_bound else render_target(playbook, named)
        )
        _check_cluster(playbook, target, rules)
    except _NotNamed as error:
        refusal = Refusal(error.verdict, f"{error.verdict.sentence} {error}")
    except ClusterMissing as error:
        refusal = Refusal(Verdict.CLUSTER_UNKNOWN, f"{Verdict.CLUSTER_UNKNOWN.sentence} {error}")
    except MissingValue as error:
        of_alert = error.path[:1] in (("labels",), ("annotations",))
        verdict = Verdict.LABEL_MISSING if of_alert else Verdict.TARGET_INVALID
        refusal = Refusal(verdict, f"{verdict.sentence} {error}")
    except ValueError as error:
        refusal = Refusal(Verdict.TARGET_INVALID, f"{Verdict.TARGET_INVALID.sentence} {error}")
    else:
        return Option(playbook, mode, target, connection)
    return Option(playbook, mode, connection=connection, refusal=refusal)


class _NotNamed(Exception):
    """The configuration cannot name what the target needs."""

    def __init__(self, verdict: Verdict, why: ValueError) -> None:
        super().__init__(str(why))
        self.verdict = verdict


def _connection(playbook: Playbook, labels: Mapping[str, str], rules: Rules) -> str:
    if playbook.target is None or _CONNECTION not in playbook.target.paths:
        return ""
    try:
        return rules.connection_of(playbook.target.text.partition(SEPARATOR)[0], labels)
    except ValueError as error:
        raise _NotNamed(Verdict.CONNECTION_UNKNOWN, error) from error


def _cluster(playbook: Playbook, labels: Mapping[str, str], rules: Rules) -> str:
    """Return the cluster where the target needs one; other targets are no business of a cluster's name."""
    kind = "" if playbook.target is None else playbook.target.text.partition(SEPARATOR)[0]
    if playbook.cluster is not None or kind not in KUBERNETES_KINDS:
        return ""
    try:
        return rules.cluster_of(labels)
    except ValueError as error:
        raise _NotNamed(Verdict.CLUSTER_UNKNOWN, error) from error


def _check_cluster(playbook: Playbook, target: str, rules: Rules) -> None:
    """Refuse a cluster that the playbook names, with an alert's values put in, and that the configuration lacks."""
    cluster = target.partition(SEPARATOR)[0]
    if playbook.cluster is None or rules.clusters is None or not is_kubernetes(target) or cluster in rules.clusters:
        return
    known = ", ".join(sorted(rules.clusters)) or "none"
    why = ValueError(f"the cluster {cluster!r} is not configured (configured: {known})")
    raise _NotNamed(Verdict.CLUSTER_UNKNOWN, why)


def targets_of(options: Iterable[Option]) -> set[str]:
    """Return the targets among the options."""
    return {option.target for option in options if option.target}
