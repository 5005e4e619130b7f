"""What others have rolled out: the latest revision of the workloads that an incident is about."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from responder.domain.errors import StepError
from responder.domain.findings import Finding
from responder.domain.kubernetes import Place, is_name, place_of
from responder.domain.notification import Account
from responder.domain.reconcilers import text_at
from responder.domain.revisions import KEPT_AS, Revision, changes, current, previous, revisions
from responder.domain.selectors import selector
from responder.domain.targets import SEPARATOR, is_kubernetes
from responder.ports.tools import Tools
from responder.tell.around import RECENT
from responder.tell.enrich import Scene
from responder.tell.headline import ranked
from responder.tell.words import clock, short

MOST, FIELDS = 2, 3
"""So many workloads are looked at, and so many fields that differ are named."""
OURS = timedelta(minutes=2)
"""A revision that is so young when a change of ours at the workload was recorded is its work: that is told already."""
_CAUSE = "kubernetes.io/change-cause"


async def rollouts(tools: Tools, scene: Scene) -> Sequence[Finding]:
    """Return the revisions that were made lately; raises StepError where a cluster cannot be asked.

    It takes the rights to get the workload, and to list what keeps its revisions.
    """
    found: list[Finding] = []
    for place in list(dict.fromkeys(_places(tools, scene.account)))[:MOST]:
        found += await _rollout(tools, scene, place)
    return found


def _places(tools: Tools, account: Account) -> Iterator[Place]:
    """Give the workloads: those that runs and decisions are about, else those that the labels name."""
    targets = [run.target for run in account.runs] + [one.target for one in account.decisions if one.target]
    for target in targets:
        if is_kubernetes(target):
            yield from _place(target)
    for episode in ranked(account)[:MOST]:
        labels = episode.labels
        for word in KEPT_AS:
            namespace, name = labels.get("namespace", ""), labels.get(word, "")
            if is_name(namespace) and is_name(name):
                try:
                    yield from _place(SEPARATOR.join((tools.cluster_of(labels), word, namespace, name)))
                except StepError:
                    return  # the alert does not say in which cluster


def _place(target: str) -> Iterator[Place]:
    try:
        place = place_of(target)
    except ValueError:
        return
    if place.kind.word in KEPT_AS:
        yield place


async def _rollout(tools: Tools, scene: Scene, place: Place) -> Sequence[Finding]:
    cluster = tools.cluster(place.cluster)
    workload = await cluster.find(place.path)
    if workload is None:
        return ()
    kept = await cluster.list(KEPT_AS[place.kind.word].path(place.namespace), labels=selector(workload))
    found = revisions(workload, kept)
    now = current(workload, found)
    made = _made(now) if now is not None else None
    if now is None or made is None or not scene.account.incident.opened_at - RECENT < made <= scene.now:
        return ()
    if any(one.target == place.target and timedelta() <= made - one.created_at < OURS for one in scene.account.records):
        return ()
    name = f"changed:rollout:{place.target}:{now.number}"
    return [Finding(name, scene.now, _told(place, made, previous(now, found), now))]


def _made(revision: Revision) -> datetime | None:
    try:
        return datetime.fromisoformat(text_at(revision.kept, "metadata", "creationTimestamp")).astimezone(UTC)
    except ValueError:
        return None


def _told(place: Place, made: datetime, before: Revision | None, now: Revision) -> str:
    """Return ``13:52 UTC rollout of deployment shop/api, revision 6 → 7: spec.containers[api].image: …``."""
    number = f"{now.number}" if before is None else f"{before.number} → {now.number}"
    differ = [*changes(before.template, now.template)] if before is not None else []
    more = [f"{len(differ) - FIELDS} more"] if len(differ) > FIELDS else []
    cause = text_at(now.kept, "metadata", "annotations", _CAUSE)
    said = "; ".join([*(short(one, 120) for one in differ[:FIELDS]), *more])
    why = f" (“{short(cause, 120)}”)" if cause else ""
    return f"{clock(made)} rollout of {place}, revision {number}{f': {said}' if said else ''}{why}"
