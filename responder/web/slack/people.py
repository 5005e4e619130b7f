"""Who a Slack user is here, and what they may do."""

from responder.settings import Role, SlackUser
from responder.web.auth import RANK, Caller
from responder.web.parts import Parts, Refused


def user_of(parts: Parts, user_id: str) -> SlackUser:
    """Return whom ``access.slack`` says this is; raises Refused (403)."""
    found = parts.settings().access.slack.get(user_id)
    if found is None:
        hint = f"whoever keeps responder.yml adds {user_id[:30] or 'you'} under access.slack"
        raise Refused(403, "the responder does not know who you are", hint)
    return found


def name_of(parts: Parts, user_id: str) -> str:
    """Return the name for the audit log: that of the configuration, else Slack's id."""
    found = parts.settings().access.slack.get(user_id)
    return f"slack:{user_id[:30]}" if found is None else found.name


def caller_of(user: SlackUser, team: str | None = None) -> Caller:
    """Return what this user may do about ``team`` (None: about everybody); outside of their teams they may look."""
    role: Role = user.role if not user.teams or team in user.teams else "viewer"
    return Caller(user.name, role, user.groups)


def need(caller: Caller, role: Role) -> None:
    """Raise Refused (403) unless the caller has this role."""
    if RANK[caller.role] < RANK[role]:
        raise Refused(403, f"{caller.name} is {caller.role} here; this takes {role}")
