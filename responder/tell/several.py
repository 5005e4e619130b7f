"""An incident whose runs are about several targets: one line each, the worst first."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from responder.domain.notification import Account, Line
from responder.domain.records import RecordState
from responder.domain.runs import Run, RunState
from responder.domain.targets import SEPARATOR
from responder.tell.lines import BAD, DONE, NOT, RUN_WORDS, made, measured, run_words
from responder.tell.words import change, short, until

SHOWN = 12
"""So many targets have a line; the others are counted by how they stand."""
TARGET, WORDS = 80, 200
_S = RunState
_ORDER: Sequence[frozenset[RunState]] = (
    frozenset({_S.UNKNOWN, _S.PARTLY_ROLLED_BACK, _S.FAILED, _S.EXPIRED}),
    frozenset({_S.ROLLED_BACK, _S.PARKED}),
    frozenset({_S.AWAITING_APPROVAL}),
    frozenset({_S.UNDOING}),
    frozenset({_S.READY, _S.ACTING, _S.VERIFYING, _S.REVERTING}),
    frozenset({_S.RESOLVING, _S.CHECKING}),
    frozenset({_S.CANCELLED, _S.SKIPPED}),
    frozenset({_S.OBSERVED}),
    frozenset({_S.KEPT, _S.VERIFIED}),
)
"""Whatever asks for a person first, what has gone well last."""
_RANK: Mapping[RunState, int] = {state: rank for rank, states in enumerate(_ORDER) for state in states}
_REFUSED = _RANK[_S.SKIPPED]
_CALM = frozenset({NOT, DONE})
"""Signs that must not stand before the target of which a person is asked."""
_STANDS = frozenset({RecordState.INTENDED, RecordState.APPLIED, RecordState.UNDO_FAILED, RecordState.DRIFTED})


def target_lines(account: Account) -> tuple[Line, ...]:
    """Return a line for each target, the worst first: how its latest run stands, and with which figures."""
    latest: dict[str, Run] = {}
    for run in sorted(account.runs, key=lambda one: (one.created_at, one.id)):
        latest[run.target] = run
    asks = account.incident.needs_person_run
    found = [(0 if run.id == asks else _RANK[run.state], run.target, _line(account, run)) for run in latest.values()]
    found += [(_REFUSED, target, line) for target, line in _refused(account, latest)]
    ordered = sorted(found, key=lambda one: one[:2])
    known = shared([target for _, target, _ in found])
    lines = [Line(one.symbol, f"{short(target[known:], TARGET)}: {one.text}") for _, target, one in ordered[:SHOWN]]
    left = [RUN_WORDS[latest[target].state][1] if target in latest else "not done" for _, target, _ in ordered[SHOWN:]]
    if left:
        counted = ", ".join(f"{count} {words}" for words, count in Counter(left).most_common())
        lines.append(Line(NOT, f"{len(left)} more targets: {counted}"))
    if account.beyond.runs:
        lines.append(
            Line(NOT, f"{account.beyond.runs} more runs: responder runs --where incident={account.incident.id}")
        )
    return tuple(lines)


def _line(account: Account, run: Run) -> Line:
    symbol, words = run_words(run, account.records, account.approvals)
    parts = [words, *_figures(account, run)]
    text = short("; ".join(part for part in parts if part), WORDS)
    return Line(BAD if run.id == account.incident.needs_person_run and symbol in _CALM else symbol, text)


def _figures(account: Account, run: Run) -> Iterator[str]:
    lasts = _until(account, run)
    if lasts:
        yield f"until {lasts}"
    mine = [one for one in account.records if one.run_id in (run.id, run.of_run)]
    yield ", ".join(made(one) for one in mine if one.state in _STANDS)
    if not mine and not run.state.final:
        yield ", ".join(change(step.before, step.after) for step in run.progress.plan)
    yield ", ".join(f"{one.name}{measured(one)}" for one in run.progress.checks if one.last is not None)
    if run.state.final and run.state in _ORDER[0] | _ORDER[6]:
        yield run.reason


def _until(account: Account, run: Run) -> str:
    if run.state is _S.AWAITING_APPROVAL:
        asked = [one for one in account.approvals if one.run_id == run.id and one.state == "pending"]
        return until(asked[-1].expires_at, asked[-1].asked_at) if asked else ""
    ends = run.progress.verify_until if run.state is _S.VERIFYING else None
    return until(ends, run.progress.verify_from) if ends else ""


def _refused(account: Account, served: Mapping[str, Run]) -> Iterator[tuple[str, Line]]:
    """Give the targets at which nothing was begun, with the latest reason."""
    latest = {}
    for one in sorted(account.decisions, key=lambda one: (one.at, one.id)):
        if one.target and one.target not in served and not one.run_id:
            latest[one.target] = one
    for target, one in latest.items():
        again = f" Looked at again at {until(one.retry_at, one.at)}." if one.retry_at else ""
        yield target, Line(NOT, short(f"{one.reason}{again}", WORDS))


def shared(targets: Sequence[str]) -> int:
    """Return how many characters of path all targets begin with: the title says them, and they tell nothing apart."""
    parts = zip(*(target.split(SEPARATOR)[:-1] for target in targets), strict=False)
    common = list(takewhile(lambda same: len(set(same)) == 1, parts))
    return sum(len(same[0]) + len(SEPARATOR) for same in common)
