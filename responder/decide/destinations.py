"""Where an incident is told: the routes, the playbook's own wish, the pager."""

from collections.abc import Mapping

from responder.decide.rules import Rules, fits
from responder.playbook.model import Playbook


def destinations(
    labels: Mapping[str, str], rules: Rules, *, handled: bool, playbook: Playbook | None = None, page: bool = False
) -> frozenset[str]:
    """Return the destinations for an incident's alert with these labels.

    ``handled``: a playbook decided something about it; ``playbook`` is the one whose wishes count. ``page``: a person
    may have to be asked, so the pager's row must be there before it is.
    """
    wanted: set[str] = set()
    if playbook is None or not playbook.notify.replace:
        wanted |= _routed(labels, rules, handled=handled)
    if playbook is not None:
        wanted.update(playbook.notify.destinations)
    if page and rules.page:
        wanted.add(rules.page)
    return frozenset(wanted)


def _routed(labels: Mapping[str, str], rules: Rules, *, handled: bool) -> set[str]:
    """The first route that fits wins; ``continue`` goes on. Which incidents a route wants is part of fitting."""
    wanted: set[str] = set()
    kinds = ("all", "handled" if handled else "unhandled")
    for route in rules.routes:
        if route.incidents in kinds and fits(route.matchers, labels):
            wanted.update(route.destinations)
            if not route.continue_:
                break
    return wanted
