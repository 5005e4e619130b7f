"""Reading who may send, who may use the API, and who is told."""

from collections.abc import Iterable, Mapping
from typing import Literal, cast

from responder.language.suggest import did_you_mean
from responder.settings.http import HttpConfig
from responder.settings.model import Access, HmacSettings, Role, SourceSettings, Token
from responder.settings.model_channels import Notify, PageSettings
from responder.settings.reader import UNREAD, Fields, Node, shown, with_file
from responder.settings.sections_channels import (
    MORE_CHANNELS,
    more_destinations,
    read_mail,
    read_secret_urls,
    read_webhooks,
)
from responder.settings.sections_http import AUTH_KEYS, read_auth, read_http
from responder.settings.sections_pagerduty import read_pagerduty, read_pagerduty_users
from responder.settings.sections_slack import ROLES, read_slack, read_slack_users

_SHORTEST_TOKEN = 8
CHANNELS = ("slack", "pagerduty", "console", *MORE_CHANNELS)
_NAMES_A_SOURCE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def read_sources(node: Node, *, anonymous: bool) -> Mapping[str, SourceSettings]:
    """Read the senders; without ``anonymous`` each needs a way to prove who it is."""
    found = {}
    for name, one in node.named().items():
        if not name or not set(name) <= _NAMES_A_SOURCE:
            hint = "use letters, digits, dots, dashes and underscores"
            one.complain_of_key("this name cannot stand in a URL", "name", hint)
        found[name] = _source(one)
        if _unprotected(found[name]) and not anonymous:
            hint = "add authorization: { credentials_file: … }, or basic_auth; access.anonymous is for loopback only"
            one.complain("anybody could send alerts here", "missing-key", hint, at_key=True)
    return found


def _unprotected(source: SourceSettings) -> bool:
    return source.auth.empty and source.hmac is None and not source.client_certificate


def _source(node: Node) -> SourceSettings:
    fields = node.keys(("kind", *AUTH_KEYS, "api_url", "hmac", "client_certificate"))
    kind = cast("Literal['alertmanager', 'grafana']", fields.read("kind", _kind, "alertmanager"))
    api: HttpConfig | None = fields.read("api_url", read_http, None)
    hmac = fields.read("hmac", _hmac, None)
    if hmac is not None and kind != "grafana":
        fields.get("hmac").complain("Alertmanager cannot sign", "value", "use authorization or basic_auth", at_key=True)
    certificate = fields.read("client_certificate", Node.flag, otherwise=False)
    return SourceSettings(kind, read_auth(fields), api, hmac, certificate)


def _kind(node: Node) -> str:
    return node.choice(("alertmanager", "grafana"))


def _hmac(node: Node) -> HmacSettings:
    fields = node.keys((*with_file("secret"), "header", "timestamp_header", "max_age"))
    usual = HmacSettings("")
    return HmacSettings(
        secret=fields.required_secret("secret", "what Grafana signs with"),
        header=fields.read("header", Node.text, usual.header),
        timestamp_header=fields.read("timestamp_header", Node.text, None),
        max_age=fields.read("max_age", Node.duration, usual.max_age),
    )


def read_access(node: Node) -> Access:
    """Read the tokens, the roles of users, who Slack's and PagerDuty's users are, and whether anybody may come."""
    fields = node.keys(("tokens", "users", "anonymous", "slack", "pagerduty"))
    tokens = tuple(_token(one) for one in fields.get("tokens").items())
    names = [token.name for token in tokens]
    for place, name in enumerate(names):
        if name in names[:place]:
            fields.get("tokens").items()[place].complain(f"a second token named {name!r}", "duplicate")
    for place, token in enumerate(tokens):
        same = [other.name for other in tokens[:place] if token.value and other.value == token.value]
        if same:
            message = f"{token.name} has the same token as {same[0]}: nobody can tell which of them it is"
            hint = "give each its own: openssl rand -hex 32"
            fields.get("tokens").items()[place].complain(message, "duplicate", hint)
    users = {name: _role(one) for name, one in fields.get("users").named().items()}
    anonymous = fields.read("anonymous", Node.flag, otherwise=False)
    slack, pagerduty = read_slack_users(fields.get("slack")), read_pagerduty_users(fields.get("pagerduty"))
    return Access(tokens, users, anonymous, slack, pagerduty)


def check_apart(root: Fields, access: Access, sources: Mapping[str, SourceSettings]) -> None:
    """Complain about a person's token that a sender of alerts has as well: who may send could approve, too."""
    for place, token in enumerate(access.tokens):
        same = [name for name, source in sources.items() if token.value in source.secrets]
        if not same or not token.value or token.value.startswith(UNREAD):
            continue
        node = Node(root.owner.reading, ("access", "tokens", place), None)
        message = f"{token.name} has the same token as sources.{same[0]}: whoever may send alerts could do what it may"
        node.complain(message, "duplicate", "give each its own: openssl rand -hex 32")


def _role(node: Node) -> Role:
    return cast("Role", node.choice(ROLES))


def _token(node: Node) -> Token:
    fields = node.keys(("name", "role", *with_file("token")))
    value = fields.required_secret("token", "the secret itself")
    if value and len(value) < _SHORTEST_TOKEN:
        node.complain(
            f"the token has fewer than {_SHORTEST_TOKEN} characters", "value", "make one: openssl rand -hex 32"
        )
    return Token(
        name=fields.required("name", Node.text, "", "who holds it; appears in the audit log"),
        role=fields.required("role", _role, "viewer", "viewer, operator or admin"),
        value=value,
    )


def read_notify(node: Node) -> Notify:
    """Read the channels."""
    fields = node.keys(CHANNELS)
    return Notify(
        slack=fields.read("slack", read_slack, None),
        pagerduty=fields.read("pagerduty", read_pagerduty, None),
        console=fields.read("console", Node.flag, otherwise=False),
        webhook=read_webhooks(fields.get("webhook")),
        email=fields.read("email", read_mail, None),
        teams=read_secret_urls(fields.get("teams")),
        slack_webhook=read_secret_urls(fields.get("slack_webhook")),
        apprise=read_secret_urls(fields.get("apprise")),
    )


def read_page(node: Node, notify: Notify) -> PageSettings | None:
    """Read where "a person is needed" goes: exactly one place."""
    fields = node.keys((*CHANNELS, "after"))
    places = read_destinations(fields, notify)
    if not places:
        hint = "write page: { pagerduty: SERVICE }"
        node.complain("exactly one place to page is needed, and none is named", "missing-key", hint, at_key=True)
        return None
    if len(places) > 1:
        named = ", ".join(one.rstrip(":") for one in places)
        hint = (
            f"keep {places[0].rstrip(':')}, and tell the others with a route: routes: [ {{ severity: critical, … }} ]"
        )
        node.complain(f"a page goes to one place, and {len(places)} are named: {named}", "value", hint, at_key=True)
        return None
    usual = PageSettings("")
    return PageSettings(places[0], fields.read("after", Node.duration, usual.after))


def read_destinations(fields: Fields, notify: Notify) -> tuple[str, ...]:
    """Read the channels of a route or page, and hold them against those that are configured."""
    found: list[str] = []
    if "slack" in fields:
        node = fields.get("slack")
        if notify.slack is None:
            node.complain(
                "notify.slack is not configured", "unknown-destination", "add notify: { slack: … }", at_key=True
            )
        found += [f"slack:{one.text()}" for one in node.one_or_many()]
    if "pagerduty" in fields:
        known = notify.pagerduty.services if notify.pagerduty else {}
        found += [f"pagerduty:{_service(one, known)}" for one in fields.get("pagerduty").one_or_many()]
    found += more_destinations(fields, notify)
    if fields.read("console", Node.flag, otherwise=False):
        found.append("console:")
    return tuple(found)


def _service(node: Node, known: Iterable[str]) -> str:
    name = node.text()
    names = sorted(known)
    if name and name not in names:
        near = did_you_mean(name, names)
        hint = f'did you mean "{near}"?' if near else f"notify.pagerduty.services has {', '.join(names) or 'nothing'}"
        node.complain(f"there is no PagerDuty service called {shown(name)}", "unknown-destination", hint)
    return name
