"""Whether anybody can answer: a question that nobody may say yes to is a page in the end, and never a fix."""

from collections.abc import Sequence

from responder.domain.approvals import ANONYMOUS, may_answer
from responder.language.strict_yaml import Path
from responder.language.suggest import did_you_mean
from responder.playbook.complaints import Findings
from responder.playbook.names import Names
from responder.playbook.rules import Keys, items, mapping

NOBODY = "no-approver"
"""The rule of complaints about questions that nobody, or only one person, could answer."""
_USUAL = ("role:operator",)


def check_approvers(findings: Findings, data: Keys, names: Names) -> None:
    """Complain when nobody who is configured could answer what ``approval`` says, or only one where two must.

    An error where it is certain and the playbook may act: users of the web configuration file are not known here.
    """
    approval = mapping(data.get("approval"))
    if names.people is None or not {"from", "four_eyes"} & approval.keys():
        return
    allowed = _allowed(approval)
    certain = _all_known(findings, approval, names.people)
    severity = "error" if certain and data.get("mode") in ("approve", "auto") else "warning"
    able = {
        name
        for name, role in names.people.items()
        if may_answer(allowed, name, role, names.groups.get(name, frozenset()))
    }
    path: Path = ("approval", "from") if "from" in approval else ("approval", "four_eyes")
    if not able:
        message = f"nobody whom access: names may answer: it takes {', '.join(allowed) or 'nobody'}"
        findings.add(path, message, NOBODY, _hint(allowed), at_key=True, severity=severity)
        return
    people = {name.casefold() for name in able if name != ANONYMOUS}
    if approval.get("four_eyes") is True and len(people) < 2:  # noqa: PLR2004 - the two of four eyes
        who = "anybody may, but without credentials nobody has a name" if not people else f"only {', '.join(able)} may"
        message = f"four_eyes: two people must say yes, and {who}"
        hint = "give each person a token of their own under access.tokens"
        findings.add(("approval", "four_eyes"), message, NOBODY, hint, at_key=True, severity=severity)


def _allowed(approval: Keys) -> Sequence[str]:
    given = approval.get("from", _USUAL)
    return [str(one) for one in items([given] if isinstance(given, str) else given)]


def _hint(allowed: Sequence[str]) -> str:
    if any(one.startswith("slack:") for one in allowed):
        return "give somebody that group under access.slack, and notify.slack an app_token, or add role:operator"
    return "give somebody that name or role under access.tokens"


def _all_known(findings: Findings, approval: Keys, people: Keys) -> bool:
    """Warn of each ``user:`` whom the configuration does not name; they may be in the web configuration file."""
    known = True
    given = approval.get("from")
    for index, one in enumerate(_allowed(approval)):
        kind, _, name = one.partition(":")
        if kind == "user" and name not in people:
            near = did_you_mean(name, people)
            hint = f'did you mean "user:{near}"?' if near else f"access: has {', '.join(sorted(people)) or 'nobody'}"
            path: Path = ("approval", "from") if isinstance(given, str) else ("approval", "from", index)
            message = f'from: access: knows nobody called "{name}"'
            findings.add(path, message, "unknown-person", hint, severity="warning")
            known = False
    return known
