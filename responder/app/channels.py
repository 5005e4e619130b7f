"""The channels beside Slack and PagerDuty, made from the settings; libraries of what is not used stay out."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from responder.domain.errors import SettingsError
from responder.ports.notifier import Notifier
from responder.settings import MailSettings, Notify

if TYPE_CHECKING:
    from responder.clients.mail import Mailer

Closers = list[Callable[[], Awaitable[None]]]


def more_channels(notify: Notify) -> tuple[dict[str, Notifier], Closers]:
    """Return the configured channels by kind, and what gives their connections back; raises SettingsError."""
    found: dict[str, Notifier] = {}
    closers: Closers = []
    if notify.webhook or notify.teams or notify.slack_webhook:
        posted, closers = _posted(notify)
        found |= posted
    if notify.email is not None:
        from responder.notifiers.mail import MailNotifier

        how = notify.email
        found["email"] = MailNotifier(mailer_of(how), how.sender, final_only=how.final_only)
    if notify.apprise:
        from responder.clients.apprise_services import AppriseService, check_apprise
        from responder.notifiers.apprise_services import AppriseNotifier

        check_apprise()
        services = {name: AppriseService(f"notify.apprise.{name}", url) for name, url in notify.apprise.items()}
        found["apprise"] = AppriseNotifier(services)
    return found, closers


def mailer_of(how: MailSettings) -> "Mailer":
    """Return what hands mail over."""
    from responder.clients.mail import Mailer

    return Mailer(how.host, how.port, how.tls, how.username, how.password)


def _posted(notify: Notify) -> tuple[dict[str, Notifier], Closers]:
    from responder.clients.posting import Poster
    from responder.notifiers.slack_webhook import SlackWebhookNotifier
    from responder.notifiers.teams import TeamsNotifier
    from responder.notifiers.webhook import WebhookNotifier, check_secret

    services: dict[str, tuple[Poster, str | None]] = {}
    for name, one in notify.webhook.items():
        where = f"notify.webhook.{name}"
        problem = check_secret(one.secret)
        if problem:
            raise SettingsError(f"{where}.secret: {problem}")
        http = one.http
        poster = Poster(where, http.url, headers=http.headers(), tls=http.ssl_context, proxy=http.proxy_url)
        services[name] = (poster, one.secret)
    teams = {name: Poster(f"notify.teams.{name}", url) for name, url in notify.teams.items()}
    slack = {name: Poster(f"notify.slack_webhook.{name}", url) for name, url in notify.slack_webhook.items()}
    made: dict[str, tuple[bool, Notifier]] = {
        "webhook": (bool(services), WebhookNotifier(services)),
        "teams": (bool(teams), TeamsNotifier(teams)),
        "slack_webhook": (bool(slack), SlackWebhookNotifier(slack)),
    }
    posters = [*(one for one, _ in services.values()), *teams.values(), *slack.values()]
    return {kind: one for kind, (used, one) in made.items() if used}, [one.close for one in posters]
