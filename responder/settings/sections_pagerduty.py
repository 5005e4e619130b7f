"""Reading PagerDuty: its services, what it tells us, and who its users are to the responder."""

import re
from collections.abc import Mapping
from typing import Literal, cast

from responder.settings.model import PagerDutyUser, Role
from responder.settings.model_channels import PagerDutySettings
from responder.settings.reader import Node, with_file
from responder.settings.sections_slack import ROLES

_USER = re.compile(r"P[A-Z0-9]{3,30}")
_KEY = 32
"""Characters of an integration key (developer.pagerduty.com, Events API v2)."""


def read_pagerduty(node: Node) -> PagerDutySettings:
    """Read the services with their keys, and how PagerDuty's own webhooks are known."""
    fields = node.keys(("services", "api_url", "changes", *with_file("webhook_secret"), "on_acknowledge"))
    services: dict[str, str] = {}
    interop: set[str] = set()
    for name, one in fields.get("services").named().items():
        inside = one.keys((*with_file("routing_key"), "interop"))
        services[name] = inside.required_secret("routing_key", "of an Events API v2 integration")
        if "interop" in inside:
            inside.get("interop").choice(("alertmanager",))
            interop.add(name)
    usual = PagerDutySettings()
    return PagerDutySettings(
        services=services,
        api_url=fields.read("api_url", Node.url, usual.api_url).rstrip("/"),
        interop=frozenset(interop),
        changes=fields.read("changes", Node.flag, usual.changes),
        webhook_secret=fields.secret("webhook_secret"),
        on_acknowledge=fields.read("on_acknowledge", _on_acknowledge, usual.on_acknowledge),
    )


def _on_acknowledge(node: Node) -> Literal["pause", "note"]:
    return cast("Literal['pause', 'note']", node.choice(("pause", "note")))


def read_pagerduty_users(node: Node) -> Mapping[str, PagerDutyUser]:
    """Read who may stop automation by acknowledging, by the ids of PagerDuty's users."""
    found: dict[str, PagerDutyUser] = {}
    for user_id, one in node.named().items():
        if not _USER.fullmatch(user_id):
            hint = "an id begins with P: it ends the address of the user's page in PagerDuty"
            one.complain_of_key("this is no id of a PagerDuty user", "name", hint)
        fields = one.keys(("name", "role", "teams"))
        found[user_id] = PagerDutyUser(
            name=fields.required("name", Node.text, "", "who this is; appears in the audit log"),
            role=fields.required("role", lambda each: cast("Role", each.choice(ROLES)), "viewer", ", ".join(ROLES)),
            teams=frozenset(each.text() for each in fields.get("teams").items()),
        )
    return found
