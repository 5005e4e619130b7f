"""What the configuration offers to playbooks, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from responder.language.commands import Command
from responder.language.intervals import TimeInterval


@dataclass(frozen=True, slots=True)
class Names:
    """The names that a playbook may use; without them (``check --syntax-only``) no name is looked up.

    ``connections`` maps a kind (``http``) to the names configured for it. ``prometheus`` says whether one is
    configured: without it an alert's own rule cannot be evaluated. ``allow`` holds what each ``http`` connection lets
    through; of one that is not in it nothing is known. ``people`` maps whoever may use the API to their role, as far as
    the configuration says; None when nothing is known of them. ``groups`` maps those who can answer from Slack to the
    groups that ``slack:@GROUP`` means. ``parameters`` are what may be set, by
    the kind and the name of a connection; None leaves it to the action. ``commands`` are what ``command.run`` may run.
    ``channels`` are the other destinations by their kind (``webhook``); ``email`` says whether there is a mail server.
    ``protect`` are the patterns of targets that nothing may change.
    """

    connections: Mapping[str, frozenset[str]] = field(default_factory=dict)
    allow: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    time_intervals: Mapping[str, tuple[TimeInterval, ...]] = field(default_factory=dict)
    clusters: frozenset[str] = frozenset()
    slack: bool = False
    pagerduty: frozenset[str] = frozenset()
    prometheus: bool = False
    people: Mapping[str, str] | None = None
    parameters: Mapping[str, Mapping[str, frozenset[str] | None]] = field(default_factory=dict)
    commands: Mapping[str, Command] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    channels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    email: bool = False
    protect: tuple[str, ...] = ()
