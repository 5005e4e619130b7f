"""Incidents as the store gives them, one for every headline, told by small builders."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from responder.domain.alerts import Severity
from responder.domain.episodes import DecisionRow, Episode, EpisodeState, Incident
from responder.domain.findings import Finding
from responder.domain.modes import Mode
from responder.domain.notification import Account, Approval, Notification
from responder.domain.records import Record, RecordState
from responder.domain.runs import Check, Context, PlannedStep, Progress, Run, RunState, Sample
from responder.domain.verdicts import Verdict
from responder.tell.compose import compose
from responder.tell.docs import Docs

START = datetime(2026, 12, 1, 14, 2, tzinfo=UTC)
LABELS = {"alertname": "CheckoutErrorsHigh", "service": "checkout", "severity": "critical"}
DOCS = Docs(
    summary="Add workers when checkout fails under load",
    meaning="More than 1 % of checkouts fail.",
    impact="Customers cannot pay.",
    by_hand="responder rollback RUN, then scale the service:\nkubectl -n shop scale deploy/checkout --replicas=6",
    runbook_url="https://runbooks.example/checkout",
)
URL = "https://responder.example"


def at(seconds: float) -> datetime:
    """Return the instant so many seconds after the alert."""
    return START + timedelta(seconds=seconds)


def incident(**changes: Any) -> Incident:  # noqa: ANN401 - fields
    one = Incident(
        id="i1",
        source="alertmanager",
        receiver="responder",
        group_key='{}:{alertname="CheckoutErrorsHigh"}',
        group_labels={"alertname": "CheckoutErrorsHigh"},
        external_url="http://am",
        severity=Severity.CRITICAL,
        opened_at=START,
        team="payments",
    )
    return replace(one, **changes)


def episode(**changes: Any) -> Episode:  # noqa: ANN401 - fields
    one = Episode(
        id="e1",
        source="alertmanager",
        fingerprint="f1",
        state=EpisodeState.OPEN,
        labels=LABELS,
        annotations={"summary": "4.1 % of checkouts fail"},
        generator_url="http://prometheus.example/graph?g0.expr=errors",
        severity=Severity.CRITICAL,
        starts_at=START,
        opened_at=START,
        evidence_at=START,
        incident_id="i1",
    )
    return replace(one, **changes)


def closed(seconds: float = 300, **changes: Any) -> Episode:  # noqa: ANN401 - fields
    return episode(state=EpisodeState.CLOSED, closed_at=at(seconds), closed_reason="resolved", **changes)


def sample(seconds: float, value: float | None, outcome: Any, reason: str = "") -> Sample:  # noqa: ANN401 - literal
    text = reason or (f"{value * 100:.3g} %, needs < 1 %" if value is not None else "no data")
    return Sample(at=at(seconds), value=value, outcome=outcome, reason=text)


def check(*samples: Sample, baseline: float | None = 0.041, done: bool = False) -> Check:
    first, last = (samples[0], samples[-1]) if samples else (None, None)
    return Check(name="error rate", baseline=baseline, first=first, last=last, done=done)


PLAN = (
    PlannedStep(
        id="set-workers",
        action="http.request",
        arguments={"service": "checkout"},
        before={"workers": 4},
        after={"workers": 6},
    ),
)


def run(state: RunState, *, progress: Progress | None = None, **changes: Any) -> Run:  # noqa: ANN401 - fields
    one = Run(
        id="r1",
        kind="forward",
        playbook="checkout-workers",
        revision="0" * 64,
        target="http/checkout",
        state=state,
        mode=Mode.AUTO,
        severity=Severity.CRITICAL,
        incident_id="i1",
        context=Context(labels=LABELS),
        created_at=at(2),
        due_at=at(2),
        deadline=at(1800),
        started_at=at(4),
        progress=progress or Progress(plan=PLAN),
        finished_at=at(192) if state.final else None,
    )
    return replace(one, **changes)


def record(state: RecordState, **changes: Any) -> Record:  # noqa: ANN401 - fields
    one = Record(
        id="c1",
        run_id="r1",
        index=0,
        step="set-workers",
        action="http.request",
        target="http/checkout",
        arguments={"service": "checkout"},
        before={"workers": 4},
        planned={"workers": 6},
        observed={"workers": 6} if state is not RecordState.INTENDED else None,
        state=state,
        created_at=at(5),
        settled_at=at(6),
        undone_at=at(190) if state is RecordState.UNDONE else None,
    )
    return replace(one, **changes)


def decision(verdict: Verdict, reason: str = "", **changes: Any) -> DecisionRow:  # noqa: ANN401 - fields
    one = DecisionRow(
        episode_id="e1",
        playbook="" if verdict is Verdict.NO_MATCH else "checkout-workers",
        verdict=verdict.value,
        reason=reason or verdict.sentence,
        at=at(2),
        first_at=at(2),
        id=f"d-{verdict.value}",
    )
    return replace(one, **changes)


RAN = decision(Verdict.RUN, run_id="r1", target="http/checkout")


def verifying(*samples: Sample, done: bool = False, until: float = 300) -> Progress:
    checks = (check(*samples, done=done),)
    return Progress(plan=PLAN, step=1, checks=checks, verify_from=at(10), verify_until=at(until))


def account(**changes: Any) -> Account:  # noqa: ANN401 - fields
    one = Account(incident=incident(), episodes=(episode(),), runs=(), records=(), decisions=(), approvals=())
    return replace(one, **changes)


@dataclass(frozen=True, slots=True)
class Story:
    """An incident at an instant."""

    account: Account
    now: datetime

    def told(self, revision: int = 1) -> Notification:
        """Compose it."""
        return compose(self.account, revision, self.now, lambda _: DOCS, URL)


_GOOD = (sample(12, 0.03, "fail"), sample(190, 0.003, "pass"))
_BAD = (sample(12, 0.041, "fail"), sample(180, 0.039, "fail"))
_NOT_HELPED = "error rate: 3.9 %, needs < 1 %"
_ROLLED_BACK = f"checkout-workers: {Verdict.VERIFY_FAILED.sentence} {_NOT_HELPED}"


_FOUND = (
    Finding("anomaly", at(8), "unusual for this hour: 12 times the usual spread above the 0.31 % of the last 7 days"),
    Finding("changed:c9", at(8), "13:52 UTC tune-cache changed http/checkout: mb: 64 → 128"),
    Finding("chart:expression", at(8), "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂▃▅▇█  0.3 % → 4.1 % in 1h, fires above 1 %"),
    Finding("diagnose:r1:00", at(5), "events: 3 (OOMKilling checkout-7f9: Memory cgroup out of memory)"),
    Finding("diagnose:r1:01", at(5), "slow queries: no answer within 5 s"),
    Finding("diagnose:r1:02", at(5), "log of the pool: 128 (pool exhausted …)", body="pool exhausted\n" * 60),
    Finding("past", at(8), "checkout-workers, last 30 days: 14 runs, 12 fixed, 2 undone, median 2m10s"),
    Finding("related:i2", at(8), "CheckoutSlow began 14:01 UTC (service=checkout)"),
)


def _held() -> Progress:
    """Tell of a check that has held for a minute."""
    one = verifying(*_GOOD, done=True)
    return one.model_copy(update={"checks": (one.checks[0].model_copy(update={"passing_since": at(130)}),)})


_DRIFTED = f"{Verdict.DRIFTED.sentence} Now: workers: 9"
_LEFT = f"step set-workers: {_DRIFTED}"
_NOTHING_UNDONE = f"“bad”. Nothing was undone: {_LEFT}"


def _shop(number: int) -> dict[str, Any]:
    target = f"prod-eu/deployment/shop/{('api', 'cart', 'web', 'mail', 'search')[number]}"
    return {"id": f"r{number}", "target": target, "created_at": at(2 + number)}


def _several() -> Account:
    """Tell an incident of five targets, of which each stands differently."""
    runs = (
        run(RunState.VERIFIED, progress=verifying(*_GOOD, done=True), verdict=Verdict.VERIFIED, **_shop(0)),
        run(RunState.ROLLED_BACK, progress=verifying(*_BAD), reason=_NOT_HELPED, **_shop(1)),
        run(RunState.VERIFYING, progress=verifying(sample(12, 0.03, "fail"), sample(40, 0.017, "fail")), **_shop(2)),
        run(RunState.AWAITING_APPROVAL, **_shop(3)),
    )
    asked = Approval(
        id="a3", run_id="r3", plan_hash="h", plan=None, state="pending", asked_at=at(3), expires_at=at(1803)
    )
    refused = "The target was worked on a short time ago. Until 14:12:00 UTC."
    states = (RecordState.APPLIED, RecordState.UNDONE, RecordState.APPLIED)
    return account(
        incident=incident(needs_person=_ROLLED_BACK, needs_person_run="r1"),
        episodes=tuple(episode(id=f"e{n}", fingerprint=f"f{n}") for n in range(5)),
        runs=runs,
        records=tuple(record(state, id=f"c{n}", run_id=f"r{n}") for n, state in enumerate(states)),
        decisions=(
            *(decision(Verdict.RUN, episode_id=f"e{n}", run_id=f"r{n}", id=f"d{n}") for n in range(4)),
            decision(Verdict.COOLDOWN, refused, episode_id="e4", target=_shop(4)["target"], retry_at=at(600)),
        ),
        approvals=(asked,),
    )


def _asking() -> Account:
    """Tell an incident of two runs that asked; one has its answer."""
    first = replace(_approval(), runs=()).approvals[0]
    said = replace(first, state="spent", decided_by="ana", decided_at=at(70), comment="go")
    second = replace(first, id="a2", run_id="r2", four_eyes=True, first_by="ben", first_at=at(50))
    acting = run(RunState.ACTING, mode=Mode.APPROVE, progress=Progress(plan=PLAN, asked=1))
    waits = run(RunState.AWAITING_APPROVAL, mode=Mode.APPROVE, id="r2", target="http/cart")
    return account(runs=(acting, waits), records=(record(RecordState.INTENDED),), decisions=(RAN,),
                   approvals=(said, second))  # fmt: skip


_ASK = PlannedStep(id="ask", action="ask", arguments={}, before=None, after="ask: Go on?")
_MORE = PLAN[0].model_copy(update={"id": "more-workers", "before": {"workers": 6}, "after": {"workers": 8}})


def _asked_again() -> Account:
    """Tell an incident whose first run was undone, since nobody answered its question; the second asks it again."""
    plan = (*PLAN, _ASK, _MORE)
    unheard = Progress(plan=plan, step=1, asked=1, ending=Verdict.APPROVAL_EXPIRED)
    reason = "ask: Go on?: nobody answered in time."
    first = run(RunState.ROLLED_BACK, progress=unheard, reason=reason, finished_at=at(25))
    waits = run(RunState.ACTING, progress=Progress(plan=plan, step=1, asked=1, asking="ask"), id="r2",
                created_at=at(40), reason="ask: Go on?")  # fmt: skip
    asked = Approval(id="a1", run_id="r1", plan_hash="h", plan=None, state="void", asked_at=at(5), expires_at=at(25))
    again = replace(asked, id="a2", run_id="r2", state="pending", asked_at=at(41), expires_at=at(341))
    undone = record(RecordState.UNDONE, undone_at=at(25))
    later = decision(Verdict.COOLDOWN, "Until 14:02:40 UTC.", at=at(25), first_at=at(25), retry_at=at(40))
    return account(
        incident=incident(needs_person=f"checkout-workers: {reason}", needs_person_run="r1"),
        runs=(first, waits),
        records=(undone, record(RecordState.APPLIED, id="c2", run_id="r2", created_at=at(41), settled_at=at(41))),
        decisions=(later, replace(RAN, at=at(40), run_id="r2")),
        approvals=(asked, again),
    )


_SICK = f"{Verdict.MASS_FAILURE.sentence} 4 of 10 are sick, and more than 20% is a mass failure."


def _mass_failure() -> Account:
    """Tell an incident that was left to a person, and at which is looked again by itself all the same."""
    refused = run(RunState.SKIPPED, progress=Progress(), verdict=Verdict.MASS_FAILURE, reason=_SICK,
                  started_at=None, finished_at=at(3))  # fmt: skip
    asks = incident(needs_person=f"checkout-workers: {_SICK}", needs_person_run="r1")
    return account(incident=asks, episodes=(episode(reconsider_at=at(33)),), runs=(refused,), decisions=(RAN,))


def _after_mass_failure() -> Account:
    """Tell what has become of that: most of the others are well again, the fix was made, and did not help."""
    one = _mass_failure()
    back = run(RunState.ROLLED_BACK, progress=verifying(*_BAD), reason=_NOT_HELPED, id="r2", created_at=at(33))
    acted = f"Run r2 on http/checkout ended rolled back at {at(192):%H:%M:%S} UTC after 1 effect."
    decided = (
        decision(Verdict.COOLDOWN, "Until 14:05:27 UTC.", at=at(192), first_at=at(192), retry_at=at(207)),
        replace(RAN, at=at(33)),
        decision(Verdict.ACTED, acted, run_id="r2", at=at(193), first_at=at(193)),
    )
    undone = record(RecordState.UNDONE, run_id="r2", created_at=at(34), settled_at=at(35))
    return replace(one, episodes=(episode(),), runs=(*one.runs, back), records=(undone,), decisions=decided)


def _parked() -> Account:
    parked = run(RunState.PARKED, progress=verifying(), reason="A halt is in force: release in progress.")
    return account(runs=(parked,), records=(record(RecordState.APPLIED),), decisions=(RAN,))


def _approval() -> Account:
    asked = Approval(
        id="a1", run_id="r1", plan_hash="h", plan=None, state="pending", asked_at=at(3), expires_at=at(1803)
    )
    return account(runs=(run(RunState.AWAITING_APPROVAL, mode=Mode.APPROVE),), decisions=(RAN,), approvals=(asked,))


STORIES: dict[str, Story] = {
    "firing": Story(
        account(
            decisions=(
                decision(
                    Verdict.COOLDOWN,
                    "The target was worked on a short time ago. Until 14:12:00 UTC.",
                    retry_at=at(600),
                ),
            )
        ),
        at(120),
    ),
    "nothing-matches": Story(account(decisions=(decision(Verdict.NO_MATCH),)), at(3)),
    "fixing": Story(
        account(
            runs=(run(RunState.VERIFYING, progress=verifying(sample(12, 0.03, "fail"), sample(40, 0.017, "fail"))),),
            records=(record(RecordState.APPLIED),),
            decisions=(RAN,),
        ),
        at(45),
    ),
    "waiting": Story(_approval(), at(60)),
    "overdue": Story(replace(_approval(), overdue=True), at(305)),
    "several": Story(_several(), at(200)),
    "asking": Story(_asking(), at(80)),
    "asked-again": Story(_asked_again(), at(60)),
    "mass-failure": Story(_mass_failure(), at(20)),
    "after-mass-failure": Story(_after_mass_failure(), at(200)),
    "kept": Story(
        account(
            runs=(
                run(
                    RunState.KEPT,
                    progress=_held().model_copy(update={"keep_until": at(7200)}),
                    kept_at=at(192),
                ),
            ),
            records=(record(RecordState.APPLIED, settled_at=at(13)),),
            decisions=(RAN,),
        ),
        at(193),
    ),
    "diagnosed": Story(
        account(
            runs=(run(RunState.VERIFYING, progress=verifying(sample(12, 0.03, "fail"), sample(40, 0.017, "fail"))),),
            records=(record(RecordState.APPLIED),),
            decisions=(RAN,),
            findings=_FOUND,
        ),
        at(45),
    ),
    "looking": Story(account(runs=(run(RunState.CHECKING, progress=Progress()),), decisions=(RAN,)), at(3)),
    "parked": Story(_parked(), at(60)),
    "parked-overdue": Story(replace(_parked(), overdue=True), at(305)),
    "fixed": Story(
        account(
            runs=(run(RunState.VERIFIED, progress=verifying(*_GOOD, done=True), verdict=Verdict.VERIFIED),),
            records=(record(RecordState.APPLIED),),
            decisions=(RAN,),
        ),
        at(193),
    ),
    "observed": Story(
        account(
            runs=(run(RunState.OBSERVED, mode=Mode.OBSERVE, finished_at=at(4), verdict=Verdict.OBSERVED),),
            decisions=(RAN,),
        ),
        at(5),
    ),
    "undoing": Story(
        account(
            runs=(run(RunState.UNDOING, progress=verifying(*_BAD), reason=_NOT_HELPED),),
            records=(record(RecordState.UNDO_INTENDED),),
            decisions=(RAN,),
        ),
        at(191),
    ),
    "rolled-back": Story(
        account(
            incident=incident(needs_person=_ROLLED_BACK, needs_person_run="r1"),
            runs=(run(RunState.ROLLED_BACK, progress=verifying(*_BAD), reason=_NOT_HELPED),),
            records=(record(RecordState.UNDONE),),
            decisions=(RAN, decision(Verdict.ATTEMPTS_EXHAUSTED, at=at(193), first_at=at(193))),
        ),
        at(200),
    ),
    "taken-back": Story(
        account(
            runs=(
                run(RunState.VERIFIED, progress=verifying(*_GOOD, done=True), verdict=Verdict.VERIFIED),
                run(
                    RunState.ROLLED_BACK,
                    progress=Progress(),
                    id="r2",
                    kind="rollback",
                    of_run="r1",
                    context=Context(labels=LABELS, requested_by="ana", reason="too many for the pool"),
                    created_at=at(300),
                    started_at=at(300),
                    finished_at=at(301),
                    reason="“too many for the pool”",
                ),
            ),
            records=(record(RecordState.UNDONE, undone_at=at(301)),),
            decisions=(RAN,),
        ),
        at(310),
    ),
    "not-undone": Story(
        account(
            incident=incident(needs_person=f"checkout-workers: {_NOTHING_UNDONE}", needs_person_run="r2"),
            runs=(
                run(RunState.VERIFIED, progress=verifying(*_GOOD, done=True), verdict=Verdict.VERIFIED),
                run(
                    RunState.PARTLY_ROLLED_BACK,
                    progress=Progress(),
                    id="r2",
                    kind="rollback",
                    of_run="r1",
                    created_at=at(300),
                    started_at=at(300),
                    finished_at=at(301),
                    reason=f"“bad”. {_LEFT}",
                ),
            ),
            records=(record(RecordState.DRIFTED, message=_DRIFTED),),
            decisions=(RAN,),
        ),
        at(310),
    ),
    "partly-undone": Story(
        account(
            incident=incident(needs_person=f"checkout-workers: {_LEFT}", needs_person_run="r1"),
            runs=(run(RunState.PARTLY_ROLLED_BACK, progress=verifying(*_BAD), reason=_LEFT),),
            records=(
                record(RecordState.DRIFTED, message=_DRIFTED),
                record(
                    RecordState.UNDONE, id="c2", index=1, step="set-cache", before={"mb": 1},
                    planned={"mb": 2}, observed={"mb": 2},
                ),
            ),
            decisions=(RAN,),
        ),
        at(200),
    ),
    "failed": Story(
        account(
            incident=incident(needs_person="checkout-workers: A change could not be undone.", needs_person_run="r1"),
            runs=(run(RunState.FAILED, progress=verifying(*_BAD), reason="step set-workers: 403 forbidden"),),
            records=(record(RecordState.UNDO_FAILED, message="403 forbidden"),),
            decisions=(RAN,),
        ),
        at(200),
    ),
    "unknown": Story(
        account(
            incident=incident(needs_person=f"checkout-workers: {Verdict.UNCERTAIN.sentence}", needs_person_run="r1"),
            runs=(run(RunState.UNKNOWN, reason="step set-workers: no answer to PUT"),),
            records=(record(RecordState.UNCERTAIN, observed=None, message="no answer to PUT"),),
            decisions=(RAN,),
        ),
        at(200),
    ),
    "needs-you": Story(
        account(incident=incident(needs_person="Every playbook for this alert has been tried.")), at(200)
    ),
    "resolved": Story(
        account(
            incident=incident(resolved_at=at(420), closed_reason="resolved"),
            episodes=(closed(415),),
            runs=(run(RunState.VERIFIED, progress=verifying(*_GOOD, done=True), verdict=Verdict.VERIFIED),),
            records=(record(RecordState.APPLIED),),
            decisions=(RAN,),
        ),
        at(421),
    ),
}  # fmt: skip
HOSTILE = {
    "alertname": "<!channel> *now* & `rm` <@U1>",
    "instance": "x" * 10_000,
    "pod": "a\x00b\x1b[31mred\u202egnp.exe\r\n> quoted",
    "job": "*bold* _it_ ~gone~ ```code``` &lt;!here&gt;",
}


def hostile() -> Story:
    """Tell an incident whose alert came from somebody who means ill."""
    one = STORIES["rolled-back"].account
    annotations = {
        "summary": "<!everyone> " + "s" * 10_000,
        "runbook_url": "javascript:alert(1)",
        "dashboard_url": "https://x.example/|<!channel>",
    }
    reason = "<!here> \x07 " + "w" * 9_000
    runs = tuple(replace(run, target="http/" + "t" * 9_000, reason=reason) for run in one.runs)
    firing = episode(labels=HOSTILE, annotations=annotations, generator_url="https://p.example/a b")
    told = replace(one, incident=replace(one.incident, needs_person=reason), runs=runs, episodes=(firing,))
    return Story(told, at(200))
