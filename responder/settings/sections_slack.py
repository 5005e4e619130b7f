"""Reading the Slack app, and who its users are to the responder."""

import re
from collections.abc import Mapping
from typing import cast, get_args

from responder.settings.model import Role, SlackUser
from responder.settings.model_channels import SlackSettings
from responder.settings.reader import Node, shown, with_file

ROLES: tuple[Role, ...] = get_args(Role)
_USER = re.compile(r"[UW][A-Z0-9]{2,20}")
_GROUP = re.compile(r"S[A-Z0-9]{2,20}")
_EVERYBODY = frozenset({"here", "channel"})
_SECRETS = ("token", "signing_secret", "app_token")


def read_slack(node: Node) -> SlackSettings:
    """Read the app: its tokens, and how it proves that a click comes from Slack."""
    fields = node.keys((*with_file(*_SECRETS), "api_url", "mention", "pictures"))
    app_token = fields.secret("app_token")
    if app_token is not None and app_token.startswith(("xoxb-", "xoxp-")):
        hint = "make an app-level token with the scope connections:write; it begins with xapp-"
        node.complain("app_token is another kind of token", "value", hint)
    return SlackSettings(
        token=fields.required_secret("token", "the bot's token, xoxb-…"),
        signing_secret=fields.secret("signing_secret"),
        app_token=app_token,
        api_url=fields.read("api_url", Node.url, "https://slack.com/api/").rstrip("/") + "/",
        mention=_mentions(fields.get("mention")),
        pictures=fields.read("pictures", Node.flag, otherwise=True),
    )


def _mentions(node: Node) -> str:
    return "" if node.value is None else " ".join(_mention(one) for one in node.one_or_many())


def _mention(node: Node) -> str:
    """Return who is called when a person is needed, in Slack's own writing."""
    text = node.text().removeprefix("@")
    if text in _EVERYBODY:
        return f"<!{text}>"
    if _GROUP.fullmatch(text):
        return f"<!subteam^{text}>"
    if _USER.fullmatch(text):
        return f"<@{text}>"
    hint = "the id of a user group (S…) or of a person (U…), as Slack shows it under Copy ID; or here, or channel"
    node.complain(f"{shown(text)} is nobody whom Slack can call", "value", hint)
    return ""


def read_slack_users(node: Node) -> Mapping[str, SlackUser]:
    """Read who may press what, by the ids of Slack's users."""
    found: dict[str, SlackUser] = {}
    names: dict[str, str] = {}
    for user_id, one in node.named().items():
        if not _USER.fullmatch(user_id):
            hint = "a member id begins with U or W: Slack shows it in the person's profile, under Copy member ID"
            one.complain_of_key("this is no id of a Slack user", "name", hint)
        fields = one.keys(("name", "role", "groups", "teams"))
        user = SlackUser(
            name=fields.required("name", Node.text, "", "who this is; appears in the audit log"),
            role=fields.required("role", lambda each: cast("Role", each.choice(ROLES)), "viewer", ", ".join(ROLES)),
            groups=frozenset(each.text().removeprefix("@") for each in fields.get("groups").items()),
            teams=frozenset(each.text() for each in fields.get("teams").items()),
        )
        before = names.setdefault(user.name.casefold(), user_id)
        if user.name and before != user_id:
            hint = "two people need two names: otherwise one could say yes for both"
            one.complain(f"{before} is called {user.name!r}, too", "duplicate", hint)
        found[user_id] = user
    return found
