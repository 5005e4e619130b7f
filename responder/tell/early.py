"""Who is not told yet: a playbook's ``notify`` may say at which ends of runs a destination begins to hear of them."""

from collections.abc import Callable, Iterator

from responder.domain.notification import Account
from responder.domain.runs import Run
from responder.playbook.model import Playbook

PlaybookFor = Callable[[str, str], Playbook | None]
"""By name and revision; without a revision, the playbook in use now."""


def too_early(destination: str, account: Account, playbook_for: PlaybookFor) -> bool:
    """Say whether every playbook that names ``destination`` wants it to hear of other ends only than there have been.

    Whoever hears of the incident by another way, such as a route, is not asked about here.
    """
    wanted = False
    for playbook, run in _played(account, playbook_for):
        rule = playbook.notify
        if destination not in rule.destinations:
            continue
        states = rule.states.get(destination)
        if states is None or (run is not None and run.state.value in states):
            return False
        wanted = True
    return wanted


def _played(account: Account, playbook_for: PlaybookFor) -> Iterator[tuple[Playbook, Run | None]]:
    """Give each run with its playbook; without any, the playbooks that were decided about."""
    for run in account.runs:
        playbook = playbook_for(run.playbook, run.revision)
        if playbook is not None:
            yield playbook, run
    names = () if account.runs else dict.fromkeys(one.playbook for one in account.decisions if one.playbook)
    for name in names:
        playbook = playbook_for(name, "")
        if playbook is not None:
            yield playbook, None
