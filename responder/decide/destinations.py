"""Where an incident is told: the routes, the playbook's own wish, the pager."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from responder.decide.rules import Route, Rules, fits
from responder.playbook.model import Playbook


@dataclass(frozen=True, slots=True)
class Audience:
    """Who hears of an incident.

    ``taken`` are the places of the routes that took it, counted from 0. ``opens_at`` is when the first of them that is
    silent now speaks again; ``timed`` says that one of them keeps times at all.
    """

    destinations: frozenset[str]
    taken: tuple[int, ...] = ()
    opens_at: datetime | None = None
    timed: bool = False

    @property
    def nobody(self) -> bool:
        """Whether nobody hears of it, now or later."""
        return not self.destinations and self.opens_at is None


def audience(
    labels: Mapping[str, str],
    rules: Rules,
    now: datetime,
    *,
    handled: bool,
    playbook: Playbook | None = None,
    page: bool = False,
) -> Audience:
    """Return who hears of an incident's alert with these labels.

    ``handled``: a playbook decided something about it; ``playbook`` is the one whose wishes count. ``page``: a person
    may have to be asked, so the pager's row must be there before it is.
    """
    wanted: set[str] = set()
    taken: list[int] = []
    opens: list[datetime] = []
    timed = False
    if playbook is None or not playbook.notify.replace:
        for place, route in _fitting(labels, rules, handled=handled):
            taken.append(place)
            timed = timed or bool(route.active or route.mute)
            if speaks(route, now):
                wanted.update(route.destinations)
            else:
                opens += [at for at in [opens_at(route, now)] if at is not None]
    if playbook is not None:
        wanted.update(playbook.notify.destinations)
    if page and rules.page:
        wanted.add(rules.page)
    return Audience(frozenset(wanted), tuple(taken), min(opens, default=None), timed)


def _fitting(labels: Mapping[str, str], rules: Rules, *, handled: bool) -> Iterator[tuple[int, Route]]:
    """The first route that fits wins; ``continue`` goes on. Which incidents a route wants is part of fitting.

    Its times are not: one that is silent has taken the incident all the same, as in Alertmanager.
    """
    kinds = ("all", "handled" if handled else "unhandled")
    for place, route in enumerate(rules.routes):
        if route.incidents in kinds and _is_for(route, labels, rules):
            yield place, route
            if not route.continue_:
                return


def _is_for(route: Route, labels: Mapping[str, str], rules: Rules) -> bool:
    if route.severities and rules.severity_of(labels) not in route.severities:
        return False
    if route.teams and rules.team_of(labels) not in route.teams:
        return False
    return fits(route.matchers, labels)


def speaks(route: Route, now: datetime) -> bool:
    """Say whether a route tells at ``now``: within one of its active times, where it has any, and in no muted one."""
    if any(interval.contains(now) for interval in route.mute):
        return False
    return not route.active or any(interval.contains(now) for interval in route.active)


_STEPS = 50


def opens_at(route: Route, now: datetime) -> datetime | None:
    """Return when a route that is silent at ``now`` tells again; None when nobody can foresee it."""
    at = now
    for _ in range(_STEPS):
        edges = [one.next_change(at) for one in (*route.active, *route.mute)]
        following = min((edge for edge in edges if edge is not None), default=None)
        if following is None or speaks(route, following):
            return following
        at = following
    return None
