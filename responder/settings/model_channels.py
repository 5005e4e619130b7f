"""The configuration's channels as values: which there are, and who hears of what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from responder.domain.alerts import Severity
from responder.language.intervals import TimeInterval
from responder.language.matchers import Matcher
from responder.settings.http import HttpConfig


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """A Slack app. ``signing_secret`` proves that a click comes from Slack; ``app_token`` opens Socket Mode.

    ``mention`` is who is called when a person is needed, in Slack's own writing (``<!subteam^S…>``). ``pictures`` puts
    charts into threads, where the app may.
    """

    token: str = field(repr=False)
    signing_secret: str | None = field(default=None, repr=False)
    app_token: str | None = field(default=None, repr=False)
    api_url: str = "https://slack.com/api/"
    mention: str = ""
    pictures: bool = True

    @property
    def pressable(self) -> bool:
        """Whether the responder hears of it when a button is pressed."""
        return self.signing_secret is not None or self.app_token is not None


@dataclass(frozen=True, slots=True)
class PagerDutySettings:
    """PagerDuty services by name, each with its routing key.

    At those of ``interop`` Alertmanager pages, too. ``changes``: each effect is told as a change event.
    ``webhook_secret`` proves that an acknowledgement comes from PagerDuty, ``on_acknowledge`` says what it does.
    """

    services: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_url: str = "https://events.pagerduty.com"
    interop: frozenset[str] = frozenset()
    changes: bool = True
    webhook_secret: str | None = field(default=None, repr=False)
    on_acknowledge: Literal["pause", "note"] = "pause"


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """A service that is told by JSON; with ``secret`` it is signed."""

    http: HttpConfig
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The server that takes our mail; ``final_only`` says nothing of what passes by itself."""

    host: str
    port: int
    tls: Literal["starttls", "implicit", "none"]
    sender: str
    username: str = ""
    password: str = field(default="", repr=False)
    final_only: bool = False


@dataclass(frozen=True, slots=True)
class Notify:
    """The channels; ``console`` writes to the log. URLs of ``teams``, ``slack_webhook`` and ``apprise`` are secrets."""

    slack: SlackSettings | None = None
    pagerduty: PagerDutySettings | None = None
    console: bool = False
    webhook: Mapping[str, WebhookSettings] = field(default_factory=dict)
    email: MailSettings | None = None
    teams: Mapping[str, str] = field(default_factory=dict, repr=False)
    slack_webhook: Mapping[str, str] = field(default_factory=dict, repr=False)
    apprise: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class PageSettings:
    """Where "a person is needed" goes (``pagerduty:payments``).

    ``after`` is how long a severe incident may go without having been fixed or resolved until somebody is called for
    it, although nothing has gone wrong with a fix.
    """

    destination: str
    after: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Route:
    """Who hears of the incidents that match; ``continue_`` lets the next routes match too.

    ``active`` and ``mute`` are the times at which it tells and does not; ``times`` are their names.
    """

    destinations: tuple[str, ...]
    matchers: tuple[Matcher, ...] = ()
    incidents: Literal["handled", "unhandled", "all"] = "handled"
    continue_: bool = False
    severities: frozenset[Severity] = frozenset()
    teams: frozenset[str] = frozenset()
    active: tuple[TimeInterval, ...] = ()
    mute: tuple[TimeInterval, ...] = ()
    times: tuple[str, ...] = ()

    @property
    def takes_all(self) -> bool:
        """Whether every incident fits that comes so far."""
        return self.incidents == "all" and not (self.matchers or self.severities or self.teams)


@dataclass(frozen=True, slots=True)
class DigestSettings:
    """When a chat channel gets one message for all: more than ``after`` incidents ``within`` a time."""

    after: int = 5
    within: timedelta = timedelta(minutes=5)
