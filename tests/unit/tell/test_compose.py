"""What an incident's account says, in every state, whatever its parts hold."""

import json
import time
from dataclasses import replace
from datetime import timedelta
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from responder.domain.alerts import Severity
from responder.domain.buttons import Press
from responder.domain.episodes import EpisodeState
from responder.domain.notification import Account, Acknowledgement, Beyond, Headline, Notification
from responder.domain.records import RecordState
from responder.domain.runs import HELPED, PlannedStep, Progress, RunState, Tried
from responder.domain.verdicts import Verdict
from responder.notifiers.slack_blocks import blocks
from responder.tell.compose import compose
from responder.tell.docs import Docs, Subject
from responder.tell.links import silence
from responder.tell.words import change, short
from tests.unit.tell.stories import (
    DOCS,
    HOSTILE,
    LABELS,
    PLAN,
    RAN,
    STORIES,
    URL,
    Story,
    account,
    at,
    check,
    closed,
    decision,
    episode,
    hostile,
    incident,
    record,
    run,
    sample,
    verifying,
)


def told(one: Account, seconds: float = 200) -> Notification:
    return Story(one, at(seconds)).told()


@pytest.mark.parametrize("name", ["firing", "fixing", "waiting"])
def test_an_overdue_incident_pages_with_what_is_going_on(name: str) -> None:
    one = STORIES[name].account
    assert told(one, 305).page == ""
    news = told(replace(one, overdue=True), 305)
    assert news.page.startswith("Neither fixed nor resolved in time: CheckoutErrorsHigh")
    assert news.headline in news.page
    assert any("a person is asked to look" in line.text for line in news.lines)


@pytest.mark.parametrize("name", ["fixed", "resolved"])
def test_an_overdue_page_is_taken_back_when_it_is_fixed_or_over(name: str) -> None:
    news = told(replace(STORIES[name].account, overdue=True), 500)
    assert news.page == ""
    assert not any("asked to look" in line.text for line in news.lines)


def test_an_overdue_page_is_taken_back_when_only_a_milder_alert_is_left() -> None:
    one = replace(STORIES["firing"].account, overdue=True)
    assert told(one).page
    assert told(replace(one, incident=incident(severity=Severity.MEDIUM))).page == ""


def test_what_needs_a_person_says_so_however_long_it_has_taken() -> None:
    for name in ("rolled-back", "failed", "unknown", "needs-you"):
        one = STORIES[name].account
        assert told(replace(one, overdue=True)).page == told(one).page != ""


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("firing", Headline.NEEDS_YOU),
        ("fixing", Headline.NEEDS_YOU),
        ("parked", Headline.NEEDS_YOU),
        ("waiting", Headline.OVERDUE),
        ("fixed", Headline.FIXED),
    ],
)
def test_the_headline_of_an_overdue_page_says_that_it_needs_somebody(name: str, word: Headline) -> None:
    in_time, late = (told(replace(STORIES[name].account, overdue=overdue), 305) for overdue in (False, True))
    assert late.headline is word
    assert late.fallback.startswith(f"{word.icon} {word}")
    called = Press.ACK in [one.press for one in late.buttons]
    assert called == bool(late.page) == (late.headline is not in_time.headline)
    assert in_time.headline not in (Headline.NEEDS_YOU, Headline.OVERDUE), "nobody is called, so nobody is meant"


_NEEDING = [name for name, one in STORIES.items() if one.told().page]


@pytest.mark.parametrize("name", _NEEDING)
def test_what_needs_a_person_does_not_begin_with_a_sign_of_success(name: str) -> None:
    lines = STORIES[name].told().lines
    assert not lines or lines[0].symbol in ("✖", "↩"), lines[0]


def test_what_a_person_is_asked_about_comes_before_what_went_well_earlier() -> None:
    assert STORIES["not-undone"].told().lines[0].text == "undoing run r1: not undone"


@pytest.mark.parametrize("state", list(RunState))
@pytest.mark.parametrize("targets", [1, 2])
def test_whatever_a_run_did_well_a_person_is_asked_first(state: RunState, targets: int) -> None:
    runs = (run(state), *(run(RunState.VERIFIED, id=f"v{n}", target=f"http/{n}") for n in range(1, targets)))
    done = tuple(record(RecordState.APPLIED, id=f"c-{one.id}", run_id=one.id) for one in runs)
    taken = Acknowledgement(by="ana", at=at(30))
    for by in ("r1", ""):
        latched = incident(needs_person="look at it", needs_person_run=by)
        one = account(incident=latched, runs=runs, records=done, decisions=(RAN,), acknowledged=taken)
        for each in (one, replace(one, runs=(), records=())):
            assert told(each).lines[0].symbol != "✔"


def test_the_title_of_several_targets_names_the_one_that_a_person_is_asked_about_or_counts_them() -> None:
    assert STORIES["several"].told().title == "CheckoutErrorsHigh · prod-eu/deployment/shop/cart +4 more"
    assert STORIES["asking"].told().title == "CheckoutErrorsHigh · 2 targets in http"
    apart = tuple(run(RunState.ACTING, id=f"r{n}", target=f"{n}/x") for n in range(3))
    assert told(account(runs=apart)).title == "CheckoutErrorsHigh · 3 targets"
    assert told(account(runs=apart, beyond=Beyond(runs=9))).title == "CheckoutErrorsHigh · 3+ targets"
    assert told(account(runs=apart, beyond=Beyond(firing=4))).title == "CheckoutErrorsHigh · 3 targets, 5 alerts"
    assert told(account(runs=apart, beyond=Beyond(firing=2))).title == "CheckoutErrorsHigh · 3 targets"


def test_a_run_that_gets_no_answer_says_that_it_looks_again() -> None:
    waits = replace(run(RunState.ACTING), reason="checkout: no answer to PUT: timed out", progress=Progress(tries=1))
    sent = told(account(runs=(waits,), records=(record(RecordState.INTENDED),), decisions=(RAN,)))
    assert "acting, looking again: checkout: no answer to PUT: timed out" in texts(sent)
    refused = told(account(runs=(waits,), records=(record(RecordState.NOT_APPLIED),), decisions=(RAN,)))
    assert "acting, trying again: checkout: no answer to PUT" in texts(refused)


def test_what_is_parked_says_how_to_let_it_go_on() -> None:
    parked = replace(run(RunState.PARKED), reason="A halt is in force.")
    assert "parked: A halt is in force. To let it go on: responder resume" in texts(told(account(runs=(parked,))))


def texts(news: Notification) -> str:
    return "\n".join(f"{line.symbol} {line.text}" for line in news.lines)


@pytest.mark.parametrize("state", list(RunState))
def test_needing_a_person_outranks_whatever_a_run_is_doing(state: RunState) -> None:
    latched = incident(needs_person="look at it")
    news = told(account(incident=latched, runs=(run(state),), decisions=(RAN,)))
    assert str(news.headline).lower().endswith("needs you")
    assert "look at it" in news.page
    assert "look at it" in news.fallback


@pytest.mark.parametrize("state", list(RunState))
def test_nobody_is_paged_while_no_person_is_needed(state: RunState) -> None:
    assert told(account(runs=(run(state),), decisions=(RAN,))).page == ""


@pytest.mark.parametrize(
    ("state", "headline"),
    [
        (RunState.CHECKING, Headline.FIRING),
        (RunState.AWAITING_APPROVAL, Headline.WAITING),
        (RunState.ACTING, Headline.FIXING),
        (RunState.UNDOING, Headline.UNDOING),
        (RunState.PARKED, Headline.PARKED),
        (RunState.KEPT, Headline.FIXED),
        (RunState.VERIFIED, Headline.FIXED),
        (RunState.OBSERVED, Headline.OBSERVED),
        (RunState.ROLLED_BACK, Headline.FIRING),
        (RunState.SKIPPED, Headline.FIRING),
        (RunState.CANCELLED, Headline.FIRING),
    ],
)
def test_the_headline_is_the_state_now(state: RunState, headline: Headline) -> None:
    assert told(account(runs=(run(state),), decisions=(RAN,))).headline is headline


def test_an_alert_that_the_fix_did_not_serve_still_fires() -> None:
    second = episode(id="e2", fingerprint="f2", opened_at=at(100))
    fixed = run(RunState.VERIFIED, progress=verifying(done=True))
    news = told(account(episodes=(closed(), second), runs=(fixed,), decisions=(RAN,)))
    assert news.headline is Headline.FIRING


def test_an_alert_that_went_away_does_not_clear_the_latch() -> None:
    latched = incident(needs_person="undo failed", resolved_at=at(300))
    news = told(account(incident=latched, episodes=(closed(),)))
    assert news.headline is Headline.NEEDS_YOU
    assert news.resolved
    assert "the alert is resolved" in news.page


def test_the_title_names_the_worst_alert_and_counts_the_others() -> None:
    mild = [episode(id=f"m{n}", labels={"alertname": "Mild"}, severity=Severity.LOW) for n in range(3)]
    news = told(account(episodes=(*mild, episode())))
    assert news.title == "CheckoutErrorsHigh · checkout +3 more"


def test_a_change_is_told_as_before_and_after_with_what_the_check_measured() -> None:
    news = STORIES["fixed"].told()
    assert "✔ workers: 4 → 6" in texts(news)
    assert "✔ check error rate 4.1 % → 0.3 %, needs < 1 %" in texts(news)
    assert dict(news.facts)["time"] == "Fixed in 3m12s"


TO_RUN: JsonValue = {"to_run": ["restart-web", "eu west"]}
RAN_IT: JsonValue = {"ran": ["restart-web", "eu west"]}
COMMAND = {"step": "restart", "before": TO_RUN, "planned": RAN_IT, "observed": RAN_IT}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (RecordState.INTENDED, "◐ run `restart-web 'eu west'` (restart)"),
        (RecordState.APPLIED, "✔ ran `restart-web 'eu west'` (restart, 1s)"),
        (RecordState.UNCERTAIN, "✖ run `restart-web 'eu west'` (restart): nobody can tell whether it was applied"),
        (RecordState.UNDO_INTENDED, "◐ undoing `restart-web 'eu west'` (restart)"),
        (RecordState.UNDONE, "↩ ran the undo of `restart-web 'eu west'` (restart), at 14:05 UTC"),
    ],
)
def test_a_command_is_told_as_what_was_run(state: RecordState, says: str) -> None:
    ran = account(runs=(run(RunState.ACTING, progress=Progress()),), records=(record(state, **COMMAND),))
    assert says in texts(told(ran))
    assert "to_run" not in texts(told(ran))


def test_what_leaves_no_state_is_told_in_words() -> None:
    plan = PlannedStep(
        id="restart", action="command.run", arguments={}, before=COMMAND["before"], after=COMMAND["planned"]
    )
    waits = account(runs=(run(RunState.AWAITING_APPROVAL, progress=Progress(plan=(plan,))),))
    assert "○ run `restart-web 'eu west'` (restart)" in texts(told(waits))
    found: JsonValue = {"ran": ["x"], "nothing_to_do": True}
    assert change({"to_run": ["x"]}, found, done=True) == "ran `x`, which found nothing to do"
    running: JsonValue = {"state": "active", "invocation": "ab12"}
    assert change(running, {"replaced": "ab12"}, done=True) == "restarted"


def test_steps_that_did_not_help_and_those_that_were_not_needed_are_told_apart() -> None:
    plan = tuple(replace_id(PLAN[0], name) for name in ("small", "large", "huge"))
    tried = (Tried(step="small", reason="error rate: 4 %, needs < 1 %"),)
    ended = run(RunState.VERIFIED, progress=Progress(plan=plan, step=1, tried=tried))
    small = record(RecordState.UNDONE, step="small")
    large = record(RecordState.APPLIED, id="c2", index=1, step="large")
    lines = [line.text for line in told(account(runs=(ended,), records=(small, large), decisions=(RAN,))).lines]
    assert "workers: 4 → 6 (huge): not needed" in lines
    assert "small did not help: error rate: 4 %, needs < 1 %" in lines


def replace_id(step: PlannedStep, name: str) -> PlannedStep:
    return step.model_copy(update={"id": name})


def test_without_a_figure_from_before_the_change_there_is_no_before() -> None:
    seen = check(sample(12, 0.03, "fail"), sample(190, 0.003, "pass"), baseline=None, done=True)
    one = run(RunState.VERIFIED, progress=verifying().model_copy(update={"checks": (seen,)}))
    assert "✔ check error rate 0.3 %, needs < 1 %" in texts(told(account(runs=(one,), decisions=(RAN,))))


def test_what_was_undone_and_what_was_not_are_told_apart() -> None:
    rolled_back = run(RunState.PARTLY_ROLLED_BACK, reason="it did not help")
    drifted = record(RecordState.DRIFTED, id="c2", index=1, step="set-cache", before={"mb": 1}, observed={"mb": 2})
    news = told(account(runs=(rolled_back,), records=(record(RecordState.UNDONE), drifted), decisions=(RAN,)))
    assert "↩ workers: 6 → 4" in texts(news)
    assert "✖ mb: 1 → 2 (set-cache): not undone, somebody else has changed it since" in texts(news)
    assert dict(news.facts)["state now"] == "changed: mb: 1 → 2"


def test_what_put_nothing_back_is_not_called_rolled_back() -> None:
    assert STORIES["not-undone"].told().headline is Headline.NOT_UNDONE
    assert STORIES["partly-undone"].told().headline is Headline.PARTLY_UNDONE
    told_so = texts(STORIES["not-undone"].told())
    assert "workers: 4 → 6 (set-workers): not undone, somebody else has changed it since" in told_so
    assert "Now: workers: 9" in told_so


def test_an_alert_fires_since_it_began_however_late_we_hear_of_it() -> None:
    late = incident(opened_at=at(120))
    heard = episode(opened_at=at(120))
    news = told(account(incident=late, episodes=(heard,)), 200)
    assert "Firing 3m20s" in news.fallback
    assert dict(news.facts)["age"] == "since 14:02 UTC"
    over = replace(late, resolved_at=at(180))
    ended = closed(180, opened_at=at(120))
    assert "Resolved after 3m" in told(account(incident=over, episodes=(ended,)), 200).fallback


_UNMATCHED = decision(Verdict.NO_MATCH, episode_id="e2", at=at(195), first_at=at(195))


@pytest.mark.parametrize("state", [one for one in RunState if not (one.final and one in HELPED)])
@pytest.mark.parametrize("asked", ["", "look at it"])
def test_that_another_alert_has_no_playbook_does_not_lead_while_there_is_more_to_say_of_a_run(
    state: RunState, asked: str
) -> None:
    two = (episode(), episode(id="e2", fingerprint="f2"))
    latched = incident(needs_person=asked, needs_person_run="r1" if asked else "")
    one = account(incident=latched, episodes=two, runs=(run(state),), decisions=(RAN, _UNMATCHED))
    for overdue in (False, True):
        news = told(replace(one, overdue=overdue))
        assert Verdict.NO_MATCH.sentence not in news.why + news.fallback + news.page


def test_that_no_playbook_matches_is_the_reason_once_nothing_else_is_left_to_say() -> None:
    two = (episode(), episode(id="e2", fingerprint="f2"))
    helped = account(episodes=two, runs=(run(RunState.VERIFIED),), decisions=(RAN, _UNMATCHED))
    assert told(helped).why == Verdict.NO_MATCH.sentence
    mine = replace(_UNMATCHED, episode_id="e1")
    assert Verdict.NO_MATCH.sentence in told(account(runs=(run(RunState.CANCELLED),), decisions=(RAN, mine))).why


def test_the_runs_of_a_message_are_in_order_back_in_time_where_one_of_them_asks() -> None:
    runs = tuple(run(RunState.FAILED, id=f"r{n}", playbook=f"p{n}", created_at=at(n)) for n in range(5))
    calm = [line.text.split()[0].strip(":") for line in told(account(runs=runs, decisions=(RAN,))).lines]
    latched = incident(needs_person="look at it", needs_person_run="r1")
    asks = [line.text.split()[0].strip(":") for line in told(account(incident=latched, runs=runs)).lines]
    assert [one for one in calm if one[0] in "p2"] == ["2", "p2", "p3", "p4"]
    assert [one for one in asks if one[0] in "p2"] == ["p1", "p4", "p3", "2"]


def test_an_alert_that_joined_the_run_of_another_incident_says_which() -> None:
    joined = decision(Verdict.JOINED, f"{Verdict.JOINED.sentence} Run r9.", run_id="r9", at=at(5))
    paused = decision(Verdict.PAUSED, at=at(3))
    for decisions in ((joined,), (paused, joined)):
        assert told(account(decisions=decisions)).why == f"checkout-workers: {Verdict.JOINED.sentence} Run r9."
    own = replace(joined, run_id="r1")
    assert told(account(runs=(run(RunState.VERIFYING),), decisions=(own,))).why == ""


@pytest.mark.parametrize("state", ["approved", "spent"])
def test_a_run_with_its_yes_does_not_ask_any_more(state: str) -> None:
    story = STORIES["waiting"].account
    answered = tuple(replace(one, state=state) for one in story.approvals)
    assert told(story).headline is Headline.WAITING
    assert told(replace(story, approvals=answered)).headline is Headline.FIXING


def test_a_step_that_may_have_landed_is_never_called_done() -> None:
    news = STORIES["unknown"].told()
    assert "nobody can tell whether it was applied" in texts(news)
    assert "✔" not in texts(news)


def test_what_still_stands_when_a_person_is_needed_comes_with_the_way_back() -> None:
    error = "no answer to PUT /admin/cache within 9 s"
    needs = incident(needs_person=f"checkout-workers: step set-cache: {error}", needs_person_run="r1")
    left = record(RecordState.UNCERTAIN, id="c2", index=1, step="set-cache", before=None, observed=None, message=error)
    ended = run(RunState.UNKNOWN, reason=f"step set-cache: {error}")
    news = told(account(incident=needs, runs=(ended,), records=(record(RecordState.APPLIED), left), decisions=(RAN,)))
    assert news.by_hand.startswith("Still stands: workers: 4 → 6; to take it back: responder rollback r1\n")
    assert DOCS.by_hand in news.by_hand
    assert news.by_hand.endswith("responder ack i1")
    assert (texts(news) + news.why).count(error) == 1


def test_a_long_text_of_the_playbook_cuts_off_neither_end() -> None:
    needs = incident(needs_person="look at it", needs_person_run="r1")
    one = account(incident=needs, runs=(run(RunState.FAILED),), records=(record(RecordState.APPLIED),))
    news = compose(one, 1, at(200), lambda _: Docs(by_hand="w " * 2_000), URL)
    assert 'responder ack i1"' in json.dumps(blocks(news))
    assert "responder rollback r1" in news.by_hand


def test_nothing_is_offered_to_be_taken_back_where_nothing_stands_or_a_run_goes_on() -> None:
    assert "Still stands" not in STORIES["rolled-back"].told().by_hand
    latched = incident(needs_person="look at it")
    going_on = account(incident=latched, runs=(run(RunState.ACTING),), records=(record(RecordState.APPLIED),))
    assert "Still stands" not in told(going_on).by_hand


@pytest.mark.parametrize("outcome", ["pass", "fail"])
def test_a_check_that_a_stop_cut_off_is_not_called_failed(outcome: str) -> None:
    progress = verifying(sample(12, 0.0, outcome)).model_copy(update={"ending": Verdict.STOPPED})
    stopped = run(RunState.ROLLED_BACK, progress=progress, verdict=Verdict.STOPPED, reason="alice stopped the run.")
    news = told(account(runs=(stopped,), records=(record(RecordState.UNDONE),), decisions=(RAN,)))
    assert "– check error rate 4.1 % → 0 %, needs < 1 %, not judged to the end" in texts(news)


def test_a_check_that_held_for_too_short_a_time_says_so() -> None:
    progress = verifying(sample(12, 0.0, "pass")).model_copy(update={"ending": Verdict.VERIFY_FAILED})
    news = told(account(runs=(run(RunState.ROLLED_BACK, progress=progress),), decisions=(RAN,)))
    assert "✖ check error rate 4.1 % → 0 %, needs < 1 %, but not for long enough" in texts(news)


@pytest.mark.parametrize("verdict", [Verdict.FLAPPING, Verdict.ATTEMPTS_EXHAUSTED])
def test_what_was_decided_after_the_rollback_is_in_the_message(verdict: Verdict) -> None:
    one = STORIES["rolled-back"].account
    later = decision(verdict, at=at(193), first_at=at(193))
    assert verdict.sentence in told(replace(one, decisions=(RAN, later))).why
    calm = replace(one, incident=incident(), decisions=(RAN, later))
    assert verdict.sentence in told(calm).why


def test_alerts_of_one_name_are_told_apart_by_the_labels_of_their_group_or_their_own() -> None:
    grouped = incident(group_labels={"alertname": "CheckoutErrorsHigh", "zone": "eu1"})
    assert told(account(incident=grouped)).about == "zone=eu1"
    many = episode(labels={**LABELS, **{f"label{n}": "v" * 99 for n in range(9)}})
    assert told(account(episodes=(many,))).about.startswith("label0=" + "v" * 39 + "…, label1=")
    assert told(account(episodes=(many,))).about.endswith(", 5 more")


def test_earlier_runs_are_where_every_channel_can_look_them_up() -> None:
    many = tuple(run(RunState.FAILED, id=f"r{n}") for n in range(9))
    assert "6 earlier runs: responder runs --where incident=i1" in texts(told(account(runs=many, decisions=(RAN,))))


def test_a_person_is_still_asked_for_when_the_alert_is_gone() -> None:
    latched = incident(needs_person="undo failed", needs_person_run="r1", resolved_at=at(300))
    news = told(account(incident=latched, episodes=(closed(),), runs=(run(RunState.ROLLED_BACK),)))
    assert dict(news.facts)["time"] == "Rolled back, needs you"
    assert dict(news.facts)["age"] == "the alert is resolved"


def test_who_took_it_over_and_when_is_in_the_message_and_its_thread() -> None:
    taken = replace(STORIES["failed"].account, acknowledged=Acknowledgement("alice", at(180)))
    calm = told(replace(taken, incident=incident()))
    assert "✔ acknowledged by alice, at 14:05 UTC" in texts(calm)
    assert "✔ acknowledged by alice" in [entry.text for entry in calm.entries]
    assert "acknowledged" not in texts(STORIES["failed"].told())


def test_an_approval_says_what_is_asked_how_to_answer_and_until_when() -> None:
    news = STORIES["waiting"].told()
    assert "○ workers: 4 → 6" in texts(news)
    assert "responder approve r1" in texts(news)
    assert "until 14:32 UTC" in texts(news)


def test_nothing_done_comes_with_its_reason_and_when_it_is_looked_at_again() -> None:
    assert STORIES["nothing-matches"].told().why == Verdict.NO_MATCH.sentence
    assert STORIES["firing"].told().why.endswith("Looked at again at 14:12 UTC.")


def test_without_a_run_the_words_are_those_of_the_playbook_that_was_decided_about_last() -> None:
    early = decision(Verdict.PAUSED, playbook="first", id="d9")
    told_only = decision(Verdict.TOLD, playbook="tells", at=at(90), id="d1")
    passed_over = decision(Verdict.DISABLED, playbook="off", at=at(95), id="d2")
    asked: list[Subject] = []

    def words(about: Subject) -> Docs:
        asked.append(about)
        return DOCS

    news = compose(account(decisions=(passed_over, told_only, early)), 1, at(200), words, URL)
    assert [(one.playbook, one.labels) for one in asked] == [("tells", LABELS)]
    assert news.by_hand == DOCS.by_hand
    assert dict(news.facts)["meaning"] == DOCS.meaning


def test_the_latest_reason_wins() -> None:
    early, late = decision(Verdict.PAUSED), decision(Verdict.RATE_TARGET, at=at(90), first_at=at(3))
    assert "The limit per target is used up" in told(account(decisions=(late, early))).why


def test_entries_keep_their_keys_while_the_incident_goes_on() -> None:
    before = {entry.key: entry.text for entry in STORIES["fixing"].told().entries}
    after = {entry.key: entry.text for entry in STORIES["resolved"].told().entries}
    assert before.items() <= after.items()


def test_entries_are_in_order_and_each_key_is_there_once() -> None:
    for story in STORIES.values():
        entries = story.told().entries
        assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
        assert len({entry.key for entry in entries}) == len(entries)


def test_a_storm_stays_a_message() -> None:
    storm = tuple(episode(id=f"e{n}", fingerprint=f"f{n}") for n in range(5_000))
    many = tuple(decision(Verdict.PAUSED, id=f"d{n}", episode_id=f"e{n}") for n in range(5_000))
    news = told(account(episodes=storm, decisions=many))
    assert news.title.endswith("+4999 more")
    assert len(news.entries) <= 100


def test_links_lead_only_where_a_browser_may_go() -> None:
    assert {url.partition(":")[0] for _, url in STORIES["fixed"].told().links} <= {"http", "https"}
    named = dict(hostile().told().links)
    assert set(named) == {"run", "incident", "runbook"}
    assert named["runbook"] == DOCS.runbook_url


def test_a_hostile_label_crowds_out_nothing() -> None:
    news = hostile().told()
    assert len(news.page) <= 1024
    assert len(news.title) <= 300
    assert max(len(line.text) for line in news.lines) <= 300
    assert "↩ workers: 6 → 4" in texts(news)
    assert HOSTILE["alertname"] in news.title


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=200) | st.none(), max_size=12))
def test_an_image_that_did_not_change_shows_no_change(image: dict[str, int | str | None]) -> None:
    assert change(dict(image), dict(image)) == ""


@given(st.text(), st.integers(min_value=1, max_value=80))
def test_a_cut_text_is_one_line_of_at_most_its_length(text: str, length: int) -> None:
    cut = short(text, length)
    assert len(cut) <= length
    assert cut.splitlines() in ([], [cut])


@given(st.sampled_from(sorted(STORIES)), st.integers(min_value=0, max_value=10**9))
def test_composing_depends_on_nothing_but_what_it_is_given(name: str, seconds: int) -> None:
    story = replace(STORIES[name], now=at(seconds))
    assert story.told() == story.told()


def test_without_an_address_of_our_own_there_are_no_links_to_us() -> None:
    news = compose(STORIES["fixed"].account, 1, at(200), lambda _: None, "")
    assert not [url for _, url in news.links if URL in url]


def test_telling_of_ten_thousand_alerts_holds_nobody_up() -> None:
    names = [f"e{number}" for number in range(10_000)]
    storm = tuple(replace(episode(), id=name) for name in names)
    each = tuple(replace(decision(Verdict.NO_MATCH), id=name, episode_id=name) for name in names)
    began = time.process_time()
    assert told(account(episodes=storm, decisions=each)).headline is Headline.FIRING
    assert time.process_time() - began < 1, "all else waits meanwhile; it takes 0.1 s, and 3 s when each looks at all"


def test_a_large_incident_counts_what_was_not_read_and_is_fixed_only_when_all_of_it_is() -> None:
    fixed = STORIES["fixed"].account
    firing = replace(fixed.episodes[0], state=EpisodeState.OPEN, closed_at=None)
    one = replace(fixed, episodes=(firing,), incident=replace(fixed.incident, resolved_at=None))
    helped = replace(one, beyond=Beyond(19_999, 19_999, 40, frozenset({RunState.VERIFIED})))
    some = replace(one, beyond=Beyond(19_999, 19_999, 40, frozenset({RunState.VERIFIED, None})))
    assert told(helped).headline is Headline.FIXED
    assert told(some).headline is Headline.FIRING
    assert told(some).title.endswith("+19999 more")
    assert told(some).lines[0].text.startswith("40 earlier runs")


@pytest.mark.parametrize(
    ("state", "docs", "says"),
    [
        (RunState.CHECKING, Docs(), "its conditions are checked"),
        (RunState.ACTING, Docs(), "it checks whether that helps; otherwise it is undone"),
        (RunState.ACTING, Docs(on_failure="keep"), "otherwise it stays as it is"),
        (RunState.VERIFYING, Docs(on_failure="page"), "by 14:07:00 UTC; otherwise it stays as it is, and a person"),
        (RunState.VERIFYING, Docs(revert_after=timedelta(hours=2)), "and given back after 2h; otherwise"),
        (RunState.UNDOING, Docs(), "the next playbook has its turn, or a person is called"),
        (RunState.OBSERVED, Docs(), "it only watches"),
        (RunState.VERIFIED, Docs(), ""),
    ],
)
def test_it_says_what_happens_next_by_itself(state: RunState, docs: Docs, says: str) -> None:
    one = account(runs=(run(state, progress=verifying()),), decisions=(RAN,))
    ahead = compose(one, 1, at(60), lambda _: docs, URL).ahead
    assert (says in ahead) if says else ahead == ""


def test_nothing_happens_by_itself_once_a_person_is_needed_and_nothing_is_under_way() -> None:
    news = STORIES["rolled-back"].told()
    assert "nothing happens by itself" in news.ahead
    goes_on = replace(STORIES["rolled-back"].account, runs=(run(RunState.ROLLED_BACK), run(RunState.ACTING, id="r2")))
    assert told(goes_on).ahead == ""


@pytest.mark.parametrize(
    ("attempts", "effects", "says"),
    [
        (2, 0, "asks once more when the alert is repeated"),
        (1, 0, "nothing happens by itself"),
        (2, 1, "nothing happens"),
    ],
)
def test_a_plan_that_nobody_answered_is_asked_for_again_where_attempts_allow_it(
    attempts: int, effects: int, says: str
) -> None:
    ended = run(RunState.EXPIRED, verdict=Verdict.APPROVAL_EXPIRED, effects=effects, finished_at=at(50))
    asks = incident(needs_person="checkout-workers: Nobody approved in time.", needs_person_run=ended.id)
    one = account(runs=(ended,), decisions=(RAN,), incident=asks)
    assert says in compose(one, 1, at(60), lambda _: Docs(attempts=attempts), URL).ahead


def test_it_says_when_it_looks_again_by_itself_though_a_person_is_needed() -> None:
    refused = STORIES["mass-failure"].account
    assert told(refused).ahead.startswith("it looks again by itself at 14:02 UTC")
    over = replace(refused, episodes=(closed(),))
    assert "nothing happens by itself" in told(over).ahead
    (one,) = refused.runs
    doubt = replace(refused, runs=(replace(one, verdict=Verdict.QUARANTINED),))
    assert "nothing happens by itself" in told(doubt).ahead, "it waits for somebody all the same"


def test_a_time_that_something_newer_was_decided_behind_is_not_promised() -> None:
    news = STORIES["after-mass-failure"].told()
    assert "14:05:27" not in news.why
    assert "nothing happens by itself" in news.ahead
    assert "Until 14:02:40" not in STORIES["asked-again"].told().why
    one = STORIES["after-mass-failure"].account
    waits = replace(one, decisions=one.decisions[:-1])
    assert "Until 14:05:27 UTC. Looked at again at 14:05:27 UTC." in told(waits).why
    assert told(waits).ahead == ""


def test_what_was_done_behind_a_refusal_is_told_before_it() -> None:
    news = STORIES["after-mass-failure"].told()
    assert news.headline is Headline.ROLLED_BACK
    assert news.why.startswith("checkout-workers: error rate: 3.9 %, needs < 1 %. checkout-workers: Too many")
    assert news.page.startswith("Rolled back, needs you: CheckoutErrorsHigh · http/checkout. checkout-workers: error")
    assert "error rate: 3.9 %" in news.fallback
    assert dict(news.facts)["state now"] == "as before the run"


@pytest.mark.parametrize("behind", ["mass-failure", "asked-again"])
@pytest.mark.parametrize(
    ("state", "made", "word"),
    [
        (RunState.CHECKING, None, None),
        (RunState.VERIFYING, RecordState.APPLIED, Headline.NEEDS_YOU),
        (RunState.VERIFIED, RecordState.APPLIED, Headline.NEEDS_YOU),
        (RunState.UNKNOWN, RecordState.UNCERTAIN, Headline.UNKNOWN),
        (RunState.FAILED, RecordState.NOT_APPLIED, None),
    ],
)
def test_nobody_is_told_that_all_is_as_before_once_a_later_run_has_changed_something(
    behind: str, state: RunState, made: RecordState | None, word: Headline | None
) -> None:
    one = STORIES[behind].account
    first, undone = one.runs[0], one.records[:1]
    later = run(state, id="r9", created_at=at(40))
    records = (*undone, *([record(made, id="c9", run_id="r9")] if made else []))
    before = told(replace(one, runs=(first,), records=undone))
    news = told(replace(one, runs=(first, later), records=records))
    assert (news.headline, news.run_id) == ((word, "r9") if word else (before.headline, first.id))
    elsewhere = replace(later, target="http/other")
    assert told(replace(one, runs=(first, elsewhere), records=records)).headline is before.headline


def test_a_question_behind_an_earlier_need_is_what_the_message_says() -> None:
    asks = STORIES["asked-again"].account
    news = told(asks, 60)
    assert (news.headline, news.run_id) == (Headline.WAITING, "r2")
    assert news.fallback.endswith(": responder approve r2")
    assert "nobody answered in time" in news.page, "a person is still called for"
    assert "what was changed stands until then; without a yes by 14:07" in news.ahead
    assert told(replace(asks, overdue=True)).headline is Headline.OVERDUE
    yes = replace(asks, approvals=(asks.approvals[0], replace(asks.approvals[1], state="approved")))
    assert told(yes).headline is Headline.NEEDS_YOU, "the change stands, and nobody is asked any more"


def test_without_a_yes_a_person_is_called_or_nothing_happens_as_the_playbook_says() -> None:
    waits = STORIES["waiting"].account
    assert "by 14:32 UTC a person is called" in told(waits).ahead
    left = compose(waits, 1, at(60), lambda _: Docs(on_timeout="skip"), URL)
    assert "by 14:32 UTC it is left alone" in left.ahead


def test_of_several_targets_each_has_a_line_the_worst_first_and_the_rest_are_counted() -> None:
    states = [RunState.VERIFIED] * 8 + [RunState.ACTING] * 8 + [RunState.FAILED]
    runs = tuple(run(state, id=f"r{n}", target=f"http/{n}") for n, state in enumerate(states))
    news = told(account(runs=runs, decisions=(RAN,)))
    shown = [line.text for line in news.lines]
    assert shown[0].startswith("16: failed")
    assert all(text.split(": ")[1].startswith("acting") for text in shown[1:9])
    assert shown[-1] == "5 more targets: 5 helped"


def test_a_silence_is_one_click_away_where_the_sender_makes_it() -> None:
    labels = {"alertname": "A", "path": 'C:\\x "y"\n'}
    url = silence("http://am:9093/", labels)
    assert unquote(url) == 'http://am:9093/#/silences/new?filter={alertname="A", path="C:\\\\x \\"y\\"\\n"}'
    grafana = silence("http://grafana", {"alertname": "A", "grafana_folder": "F"})
    assert grafana == (
        "http://grafana/alerting/silence/new?alertmanager=grafana&matcher=alertname%3DA&matcher=grafana_folder%3DF"
    )
    assert "silence" in dict(STORIES["firing"].told().links)
    assert "silence" not in dict(STORIES["resolved"].told().links)
