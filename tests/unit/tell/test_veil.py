"""Nothing is composed from a secret, so that none is cut in two; hidden labels are in no sentence."""

from dataclasses import replace

import pytest

from responder.app.masked import Curtain
from responder.domain.notification import Account, Notification
from responder.telemetry import Privacy, Redactor
from responder.tell.compose import compose
from tests.unit.tell.stories import LABELS, STORIES, URL, at, episode


def told(account: Account, redactor: Redactor) -> Notification:
    veil = Curtain(redactor)
    news = compose(veil.before(account), 1, at(120), lambda _: None, URL)
    return veil.after(news, account)


def account_of(**labels: str) -> Account:
    summary = "x" * 590 + "  correct-horse-battery-staple of Acme Corp"
    one = episode(labels={**LABELS, **labels}, annotations={"summary": summary})
    return Account(STORIES["firing"].account.incident, (one,), (), (), ())


def test_a_secret_that_a_message_would_cut_in_two_is_not_shown_by_half() -> None:
    assert "correct-" in told(account_of(), Redactor()).summary
    assert "corr" not in told(account_of(), Redactor(["correct-horse-battery-staple"])).summary


def test_a_hidden_label_is_in_no_text_of_a_message() -> None:
    redactor = Redactor(privacy=Privacy(labels=frozenset({"customer"})))
    news = told(account_of(customer="Acme Corp", instance="Acme Corp:80"), redactor)
    assert "Acme" not in repr(news)
    assert news.labels is not None
    assert news.labels["customer"] == "<hidden>"


def test_a_hidden_label_is_in_no_question() -> None:
    one = STORIES["asking"].account
    (first,) = one.episodes
    hidden = replace(one, episodes=(replace(first, labels={**first.labels, "alertname": "AcmeIsDown"}),))
    news = told(hidden, Redactor(privacy=Privacy(labels=frozenset({"alertname"}))))
    assert news.questions
    assert "AcmeIsDown" not in repr(news)


def test_what_holds_nothing_is_composed_as_it_is() -> None:
    account = STORIES["rolled-back"].account
    assert Curtain(Redactor(["something-else"])).before(account) is account


@pytest.mark.parametrize("place", ["label", "annotation", "url", "reason", "needs", "group", "decision", "check"])
def test_a_secret_is_found_wherever_it_came_in(place: str) -> None:
    secret, base = "correct-horse-battery-staple", STORIES["rolled-back"].account
    (run, *_), (first, *_) = base.runs, base.episodes
    decided = STORIES["nothing-matches"].account.decisions[0]
    named = run.progress.checks[0].model_copy(update={"name": secret})
    changed = {
        "check": replace(base, runs=(replace(run, progress=run.progress.model_copy(update={"checks": (named,)})),)),
        "label": replace(base, episodes=(replace(first, labels={**first.labels, "x": secret}),)),
        "annotation": replace(base, episodes=(replace(first, annotations={"x": secret}),)),
        "url": replace(base, episodes=(replace(first, generator_url=f"http://h/?q={secret}"),)),
        "reason": replace(base, runs=(replace(run, reason=secret),)),
        "needs": replace(base, incident=replace(base.incident, needs_person=secret)),
        "group": replace(base, incident=replace(base.incident, group_labels={"x": secret})),
        "decision": replace(base, decisions=(replace(decided, reason=secret),)),
    }[place]
    assert secret in repr(changed)
    assert secret not in repr(Curtain(Redactor([secret])).before(changed))
