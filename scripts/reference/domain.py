"""The pages of verdicts, runs, records and errors, from the domain's own tables."""

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator

from responder.decide.candidates import SKIPPED_BACK_OFF, SKIPPED_BACK_OFF_MAX
from responder.domain import errors
from responder.domain.records import RECORD_TRANSITIONS, RecordState
from responder.domain.runs import FINAL, HOLDS_SLOT, OUTCOMES, PASSES_ON, TRANSITIONS, RunState
from responder.domain.verdicts import Verdict
from responder.language.durations import format_duration
from scripts.reference.markdown import block, code, groups, page, prose, summary, table

_MEMBER = re.compile(r"^    ([A-Z_]+) = ")
RESUMED = "resumed"
"""The one outcome outside the table: it leads back to where the run was parked."""


def verdicts_page() -> str:
    """Return the page of verdicts, in the groups that their source has."""
    return page(
        "Verdicts",
        "Why a playbook acted or did not: the same word in logs, metric labels, the API, chat and `responder explain`. "
        "Those that are looked at again wait for their cause to go; the others are final for the alert's episode and "
        "the playbook, unless a reload changes what the configuration says of them.",
        _passed_on(),
        *(f"## {title}\n\n{_verdicts(members)}" for title, members in verdict_groups()),
    )


def _passed_on() -> str:
    """Say what the column of a run that changed nothing does not."""
    first, most = format_duration(SKIPPED_BACK_OFF), format_duration(SKIPPED_BACK_OFF_MAX)
    return (
        f"A run that ended as `{RunState.SKIPPED}` changed nothing and settles nothing, though its verdict be none "
        f"that is looked at again: `{Verdict.UNCHANGED}`, `{Verdict.RECONCILED}` or a `{Verdict.STEP_FAILED}` that "
        "changed nothing, for example. The next playbook has its turn, "
        f"and when none takes the alert on, all of them are asked anew for as long as it fires: after {first}, then "
        f"after twice as long each time, {most} at most."
    )


def verdict_groups() -> Iterator[tuple[str, list[Verdict]]]:
    """Go through the verdicts by the comments above them."""
    for title, names in groups(inspect.getsource(Verdict), _MEMBER):
        yield title, [Verdict[name] for name in names]


def _verdicts(members: Iterable[Verdict]) -> str:
    rows = [(code(verdict), verdict.sentence, "yes" if verdict.later else "no") for verdict in members]
    return table(("Verdict", "What people read", "Looked at again"), rows)


def runs_page() -> str:
    """Return the page of the run's and the record's states."""
    return page(
        "Runs and records",
        "A run is one execution of a playbook on one target. Each of its steps has a rollback record, committed "
        "before the effect. Both move by one table each; the diagrams are those tables.",
        "## The states of a run",
        prose(RunState),
        table(
            ("State", "Final", "Holds the target's slot", "The next candidate follows"),
            (_run_state(state) for state in RunState),
        ),
        block("\n".join(_run_diagram()), "mermaid"),
        f"`{RESUMED}` leads from `parked` back to the state in which the run was parked.",
        "## The transitions of a run",
        table(("From", "Outcome of a turn", "To"), _run_rows()),
        "## The states of a record",
        prose(RecordState),
        block("\n".join(_record_diagram()), "mermaid"),
        table(("From", "To"), _record_rows()),
    )


def _run_state(state: RunState) -> tuple[str, str, str, str]:
    return (
        code(state),
        "yes" if state in FINAL else "",
        "yes" if state in HOLDS_SLOT else "",
        PASSES_ON.get(state, ""),
    )


def _run_diagram() -> Iterator[str]:
    """Draw the table; outcomes that lead the same way share an arrow."""
    yield "stateDiagram-v2"
    yield f"    [*] --> {RunState.RESOLVING}"
    ways: dict[tuple[RunState, RunState], list[str]] = {}
    for (state, outcome), following in TRANSITIONS.items():
        ways.setdefault((state, following), []).append(outcome)
    for (state, following), outcomes in ways.items():
        yield f"    {state} --> {following}: {', '.join(outcomes)}"
    for state in (state for (state, outcome) in TRANSITIONS if outcome == "halted"):
        yield f"    {RunState.PARKED} --> {state}: {RESUMED}"
    for state in RunState:
        if state in FINAL:
            yield f"    {state} --> [*]"


def _run_rows() -> list[tuple[str, str, str]]:
    order, outcomes = list(RunState), list(OUTCOMES)
    found = sorted(TRANSITIONS.items(), key=lambda one: (order.index(one[0][0]), outcomes.index(one[0][1])))
    rows = [(code(state), code(outcome), code(following)) for (state, outcome), following in found]
    return [*rows, (code(RunState.PARKED), code(RESUMED), "where it was parked")]


def _record_diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {RecordState.INTENDED}"
    for state in RecordState:
        for following in _following(state):
            yield f"    {state} --> {following}"
        if not RECORD_TRANSITIONS[state]:
            yield f"    {state} --> [*]"


def _record_rows() -> Iterator[tuple[str, str]]:
    for state in RecordState:
        yield code(state), ", ".join(code(one) for one in _following(state)) or "nothing follows"


def _following(state: RecordState) -> list[RecordState]:
    return [one for one in RecordState if one in RECORD_TRANSITIONS[state]]


def errors_page() -> str:
    """Return the page of the error tree."""
    doc = inspect.getdoc(errors) or ""
    tree = re.search(r"::\n\n((?:    .*\n)+)", doc)
    if tree is None:
        raise ValueError("the docstring of responder.domain.errors no longer draws the tree")
    return page(
        "Errors",
        "What to do next lies in the type of an error. A refusal is not an error but a [verdict](verdicts.md).",
        block(textwrap.dedent(tree[1]).replace("``", "")),
        table(("Error", "Kind of", "Meaning"), (_error(one) for one in error_classes())),
        "The exit codes of the command line are on [their own page](command-line.md#exit-codes).",
    )


def error_classes() -> list[type[errors.ResponderError]]:
    """Return every error of the tree in the order of its source."""
    return [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ResponderError)]


def _error(kind: type[errors.ResponderError]) -> tuple[str, str, str]:
    parent = kind.__bases__[0]
    return code(kind.__name__), "" if parent is Exception else code(parent.__name__), summary(kind)
