"""What stands between what is known and what is told: before composing, so that no cut secret passes, and after it."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from responder.domain.findings import Finding
from responder.domain.notification import Account, Notification
from responder.domain.retold import retold
from responder.domain.runs import Run

HIDDEN = "<hidden>"
SHORTEST = 3
"""A value of fewer characters is hidden where labels are listed; within a sentence it would be found by chance."""


class Veil(Protocol):
    """Keeps out of messages what nobody outside is to see."""

    def before(self, account: Account) -> Account:
        """Return what may be composed from."""
        ...

    def after(self, news: Notification, account: Account) -> Notification:
        """Return what may be told; ``account`` is as it was."""
        ...


class NoVeil:
    """Lets everything pass."""

    def before(self, account: Account) -> Account:
        """Return it as it is."""
        return account

    def after(self, news: Notification, account: Account) -> Notification:
        """Return it as it is."""
        return news


def outside(account: Account) -> Iterator[str]:
    """Return each text of an account that came from outside: what ``veiled`` puts in other words."""
    yield account.incident.needs_person
    yield from account.incident.group_labels.values()
    for one in account.episodes:
        yield one.generator_url
        yield from one.labels.values()
        yield from one.annotations.values()
    yield from (run.reason for run in account.runs)
    yield from (check.name for run in account.runs for check in run.progress.checks)
    yield from (one.reason for one in account.decisions)
    for finding in account.findings:
        yield from (finding.text, finding.body)
        if isinstance(finding.data, Mapping) and isinstance(finding.data.get("expression"), str):
            yield str(finding.data["expression"])


def veiled(account: Account, say: Callable[[str], str]) -> Account:
    """Return ``account`` with what came from outside as ``say`` puts it: labels, annotations, reasons."""

    def texts(found: Mapping[str, str]) -> dict[str, str]:
        return {name: say(value) for name, value in found.items()}

    incident = account.incident
    return replace(
        account,
        incident=replace(incident, group_labels=texts(incident.group_labels), needs_person=say(incident.needs_person)),
        episodes=tuple(
            replace(
                one,
                labels=texts(one.labels),
                annotations=texts(one.annotations),
                generator_url=say(one.generator_url),
            )
            for one in account.episodes
        ),
        runs=tuple(_run(run, say) for run in account.runs),
        decisions=tuple(replace(one, reason=say(one.reason)) for one in account.decisions),
        findings=tuple(_finding(one, say) for one in account.findings),
    )


def _finding(one: Finding, say: Callable[[str], str]) -> Finding:
    data = one.data
    if isinstance(data, dict) and isinstance(data.get("expression"), str):
        data = {**data, "expression": say(str(data["expression"]))}
    return replace(one, text=say(one.text), body=say(one.body), data=data)


def _run(run: Run, say: Callable[[str], str]) -> Run:
    checks = tuple(one.model_copy(update={"name": say(one.name)}) for one in run.progress.checks)
    return replace(run, reason=say(run.reason), progress=run.progress.model_copy(update={"checks": checks}))


def without_labels(news: Notification, account: Account, names: Collection[str]) -> Notification:
    """Return ``news`` without the values that these labels have on any alert or run of the incident."""
    if not names:
        return news
    values = sorted({one for one in _values(account, names) if len(one) >= SHORTEST}, key=len, reverse=True)
    if values:
        words = re.compile("|".join(rf"(?<!\w){re.escape(one)}(?!\w)" for one in values))
        # A form that is filled in with their values would name them, and without them fit other alerts.
        links = tuple(one for one in news.links if one[0] != "silence")
        news = retold(replace(news, links=links), lambda text: words.sub(HIDDEN, text))
    labels = None if news.labels is None else {k: HIDDEN if k in names else v for k, v in news.labels.items()}
    return replace(news, labels=labels)


def _values(account: Account, names: Collection[str]) -> Iterator[str]:
    for labels in _labels(account):
        yield from (labels[name] for name in names if name in labels)


def _labels(account: Account) -> Iterator[Mapping[str, str]]:
    yield account.incident.group_labels
    yield from (one.labels for one in account.episodes)
    yield from (run.context.labels for run in account.runs)
