"""The runs of an incident that have asked for a yes, where there are several: each asks in a message of its own."""

from collections.abc import Iterator, Mapping, Sequence

from responder.domain.buttons import Button
from responder.domain.notification import Account, Approval, Headline, Line, Question
from responder.domain.runs import PlannedStep, Run, RunState
from responder.domain.sentences import quoted, sentences
from responder.domain.verdicts import Verdict
from responder.tell.buttons import ANSWERS, apart, offered, told_apart
from responder.tell.docs import Docs
from responder.tell.headline import alert_name
from responder.tell.lines import BAD, DONE, NOT, TO_DO, named
from responder.tell.words import change, clock, short, until

LINE, TARGET = 300, 120
SHOWN = 20
"""So many of the latest questions have their message; more than that nobody answers one by one."""


def questions(account: Account, docs: Mapping[str, Docs]) -> tuple[Question, ...]:
    """Return them in the order in which they were asked; ``docs`` are the words of the runs' playbooks, by run."""
    if not apart(account):
        return ()
    latest: dict[str, Approval] = {}
    for one in sorted(account.approvals, key=lambda one: one.asked_at):
        latest[one.run_id] = one
    pressed = [one for one in offered(account) if one.press in ANSWERS]
    runs = {run.id: run for run in account.runs}
    asked = [(runs[key], one) for key, one in latest.items() if key in runs]
    alert = alert_name(account)
    return tuple(_question(run, one, pressed, docs.get(run.id), alert) for run, one in asked[-SHOWN:])


def _question(run: Run, asked: Approval, pressed: list[Button], docs: Docs | None, alert: str) -> Question:
    pending = asked.state == "pending" and run.waits_for_yes
    icon, outcome = _outcome(run, asked, pending=pending)
    return Question(
        run=run.id,
        icon=icon,
        title=f"{short(run.playbook, TARGET)} · {short(run.target, TARGET)}",
        alert=alert,
        outcome=outcome,
        pending=pending,
        lines=tuple(_lines(run, asked, docs, pending=pending)),
        buttons=tuple(told_apart(one, pressed, many=True) for one in pressed if one.run == run.id) if pending else (),
    )


def _outcome(run: Run, asked: Approval, *, pending: bool) -> tuple[str, str]:
    if pending:
        return Headline.WAITING.icon, f"May it? Until {until(asked.expires_at, asked.asked_at)}"
    when = f" at {clock(asked.decided_at)}" if asked.decided_at else ""
    if asked.state in ("approved", "spent") and asked.decided_by:
        return DONE, f"Approved by {asked.decided_by}{when}"
    if asked.state == "rejected":
        return BAD, f"Rejected by {asked.decided_by}{when}"
    late = run.state is RunState.EXPIRED or run.progress.ending is Verdict.APPROVAL_EXPIRED
    return NOT, "Nobody answered in time" if late else "No longer asked"


def _to_come(run: Run) -> Sequence[PlannedStep]:
    """Return the steps that a yes lets go on: behind the one that asks, where one does."""
    ids = [step.id for step in run.progress.plan]
    return run.progress.plan[ids.index(run.progress.asking) + 1 if run.progress.asking in ids else 0 :]


def _lines(run: Run, asked: Approval, docs: Docs | None, *, pending: bool) -> Iterator[Line]:
    if docs is not None and docs.summary:
        yield Line(NOT, short(docs.summary, LINE))
    if pending and run.progress.asking:
        yield Line(TO_DO, short(run.reason, LINE))
    for step in _to_come(run) if pending else run.progress.plan:
        note = f": {step.note}" if step.note else ""
        yield Line(TO_DO if pending else NOT, short(f"{named(step.id, change(step.before, step.after))}{note}", LINE))
    for check in run.progress.checks:
        yield Line(TO_DO, short(f"then checked: {check.name}", LINE))
    if pending and asked.four_eyes:
        who = f"{asked.first_by} said yes, somebody else must as well" if asked.first_by else "two people must say yes"
        yield Line(TO_DO, who)
    if pending:
        yield Line(TO_DO, f"responder approve {run.id}, or responder reject {run.id}")
    if not pending and asked.comment:
        yield Line(DONE, short(sentences(quoted(asked.comment)), LINE))
