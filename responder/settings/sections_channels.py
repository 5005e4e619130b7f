"""Reading the channels beside Slack and PagerDuty, and which of them a route names."""

import re
from collections.abc import Collection, Mapping
from typing import Literal, cast

from responder.language.suggest import did_you_mean
from responder.settings.model_channels import MailSettings, Notify, WebhookSettings
from responder.settings.reader import UNREAD, Fields, Node, shown, split_url, with_file
from responder.settings.sections_http import HTTP_KEYS, http_of

MORE_CHANNELS = ("webhook", "email", "teams", "slack_webhook", "apprise")
_MAIL = re.compile(r"[^@\s<>,;\"]{1,64}@[^@\s<>,;\"]{1,255}")
_SHORTEST_SECRET = 16
_PORTS: Mapping[str, int] = {"starttls": 587, "implicit": 465, "none": 25}


def read_webhooks(node: Node) -> Mapping[str, WebhookSettings]:
    """Read the services that are told by signed JSON, by name."""
    return {name: _webhook(one) for name, one in node.named().items()}


def _webhook(node: Node) -> WebhookSettings:
    fields = node.keys((*HTTP_KEYS, *with_file("secret")))
    secret = fields.secret("secret")
    if secret is not None and 0 < len(secret) < _SHORTEST_SECRET:
        hint = 'make one: echo "whsec_$(openssl rand -base64 32)"'
        node.complain(f"the secret has fewer than {_SHORTEST_SECRET} characters", "value", hint)
    http = http_of(fields)
    if http.oauth2 is not None:
        fields.get("oauth2").complain("oauth2 is reserved for later", "value", "use authorization", at_key=True)
    return WebhookSettings(http, secret)


def read_secret_urls(node: Node) -> Mapping[str, str]:
    """Read addresses that are secrets themselves, by name: a bare one, ``url`` or ``url_file``."""
    return {name: _secret_url(one) for name, one in node.named().items()}


def _secret_url(node: Node) -> str:
    if isinstance(node.value, str):
        url = node.secret_text()
    else:
        url = node.keys(with_file("url")).required_secret("url", "where to post: whoever knows it may do so")
    parts = split_url(url)
    if url and not url.startswith(UNREAD) and (parts is None or not parts.scheme or not (parts.netloc or parts.path)):
        node.complain("this is no URL", "url", "copy it from the service, and keep it in a file: url_file")
    return url


def read_mail(node: Node) -> MailSettings:
    """Read the mail server and who the mail is from."""
    fields = node.keys(("host", "port", "tls", "username", *with_file("password"), "from", "states"))
    tls = cast("Literal['starttls', 'implicit', 'none']", fields.read("tls", _tls, "starttls"))
    username, password = fields.read("username", Node.text, ""), fields.secret("password") or ""
    if bool(username) != bool(password):
        node.complain("username and password go together", "missing-key", "give both, or neither", at_key=True)
    if username and tls == "none":
        hint = "use tls: starttls, or a server that takes mail without a password"
        node.complain("a password would be sent in the clear", "value", hint, at_key=True)
    return MailSettings(
        host=fields.required("host", Node.text, "", "the server that takes mail"),
        port=fields.read("port", lambda one: one.count(65535), _PORTS[tls]),
        tls=tls,
        username=username,
        password=password,
        sender=fields.required("from", _address, "", "whom the mail is from"),
        final_only=fields.read("states", _states, "all") == "final",
    )


def _tls(node: Node) -> str:
    return node.choice(("starttls", "implicit", "none"))


def _states(node: Node) -> str:
    return node.choice(("all", "final"))


def _address(node: Node) -> str:
    text = node.text()
    if text and not _MAIL.fullmatch(text):
        node.complain(f"{shown(text)} is no e-mail address", "value", "write it as name, @ and host")
    return text


def more_destinations(fields: Fields, notify: Notify) -> list[str]:
    """Read the keys of a route or page that name one of these channels, and hold them against what is configured."""
    known: Mapping[str, Collection[str]] = {
        "webhook": notify.webhook,
        "teams": notify.teams,
        "slack_webhook": notify.slack_webhook,
        "apprise": notify.apprise,
    }
    found = [
        f"{kind}:{_named(one, kind, names)}"
        for kind, names in known.items()
        for one in fields.get(kind).one_or_many()
        if kind in fields
    ]
    if "email" in fields:
        if notify.email is None:
            fields.get("email").complain(
                "notify.email is not configured", "unknown-destination", "add notify: { email: … }", at_key=True
            )
        found += [f"email:{_address(one)}" for one in fields.get("email").one_or_many()]
    return found


def _named(node: Node, kind: str, known: Collection[str]) -> str:
    name, names = node.text(), sorted(known)
    if name and name not in names:
        near = did_you_mean(name, names)
        hint = f'did you mean "{near}"?' if near else f"notify.{kind} has {', '.join(names) or 'nothing'}"
        node.complain(f"there is no {kind} called {shown(name)}", "unknown-destination", hint)
    return name
