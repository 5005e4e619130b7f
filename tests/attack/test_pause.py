"""A share of ``make pause``: one pause, while all of a hundred and thirty runs are about to change something."""

from tests.attack.pause import READY, pause
from tests.bed import servers


async def test_nothing_begins_behind_a_pause_with_a_hundred_runs_ready_on_two_replicas() -> None:
    try:
        report = await pause(130, 1, lambda _: None)
    except FileNotFoundError as missing:
        servers.missing(str(missing))
    else:
        assert report.findings.every == []
        assert [one.ready >= READY for one in report.rounds] == [True]
