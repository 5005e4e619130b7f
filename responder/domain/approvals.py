"""Who may answer for a run, and what an answer makes of the open question. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from responder.domain.limits import Refusal
from responder.domain.notification import Approval
from responder.domain.verdicts import Verdict

ANONYMOUS = "anonymous"
"""The name of whoever comes in without credentials: nobody in particular, so never one of two people."""
ROLES = ("viewer", "operator", "admin")
"""Each may do what those before it may."""


def may_answer(allowed: Iterable[str], name: str, role: str, groups: Collection[str] = ()) -> bool:
    """Say whether ``approval.from`` names the person ``name``, a role that theirs includes, or one of their ``groups``.

    ``groups`` are those that a Slack user is in (``access.slack``), without the ``@``.
    """
    for one in allowed:
        kind, _, wanted = one.partition(":")
        if kind == "user" and wanted and wanted == name:
            return True
        if kind == "role" and wanted in ROLES and role in ROLES and ROLES.index(role) >= ROLES.index(wanted):
            return True
        if kind == "slack" and wanted and wanted.removeprefix("@") in groups:
            return True
    return False


def answered(
    asked: Approval | None, *, yes: bool, actor: str, plan_hash: str, comment: str, requested_by: str, now: datetime
) -> Approval | Refusal:
    """Return the question after an answer, or why the answer does not count.

    A no needs no plan and stands alone. Of two people who must say yes the first is noted and the question stays open.
    """
    refusal = _closed(asked, now)
    if asked is None or refusal is not None:
        return refusal or Refusal(Verdict.ACTED, _NOT_ASKED)
    if not yes:
        return replace(asked, state="rejected", decided_by=actor, decided_at=now, comment=comment)
    refusal = _no_yes(asked, actor, plan_hash, requested_by)
    if refusal is not None:
        return refusal
    if asked.four_eyes and not asked.first_by:
        return replace(asked, first_by=actor, first_at=now, first_comment=comment)
    return replace(asked, state="approved", decided_by=actor, decided_at=now, comment=comment)


_NOT_ASKED = "the run has not asked for approval"


def _closed(asked: Approval | None, now: datetime) -> Refusal | None:
    if asked is None:
        return Refusal(Verdict.ACTED, _NOT_ASKED)
    if asked.state == "void":
        why = "the run no longer asks, as when its alert has ended or the run has: nothing of it needs a yes"
        return Refusal(Verdict.ACTED, why)
    if asked.state != "pending":
        by = f" by {asked.decided_by}" if asked.decided_by else ""
        word = "approved" if asked.state == "spent" else asked.state
        return Refusal(Verdict.ACTED, f"the question is closed already: {word}{by}{_when(asked.decided_at)}")
    if asked.expires_at <= now:
        return Refusal(Verdict.APPROVAL_EXPIRED, f"the question expired{_when(asked.expires_at)}")
    return None


def _no_yes(asked: Approval, actor: str, plan_hash: str, requested_by: str) -> Refusal | None:
    if asked.plan_hash != plan_hash:
        return Refusal(Verdict.PLAN_CHANGED, "the plan is no longer the one that was shown; look at it again")
    if not asked.four_eyes:
        return None
    if actor == ANONYMOUS:
        return Refusal(Verdict.NOT_ALLOWED, "two people must say yes, and without credentials nobody knows who you are")
    if _same(actor, requested_by):
        return Refusal(Verdict.NOT_ALLOWED, f"{actor} asked for this run; both who say yes are others")
    if _same(actor, asked.first_by):
        # Saying it twice is no attempt at what is forbidden: the yes stands, and somebody else's is waited for.
        said = f"{asked.first_by} has said yes already{_when(asked.first_at)}"
        return Refusal(Verdict.ACTED, f"{said}; the second yes is another's")
    return None


def _when(at: datetime | None) -> str:
    return f" at {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""


def _same(one: str, other: str) -> bool:
    """Whether two names are one person's: ``Ana`` and ``ana`` are."""
    return bool(other) and one.casefold() == other.casefold()
