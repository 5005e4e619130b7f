"""A share of ``make resume``: three hundred unfinished runs."""

from tests.attack.resume import TARGET_SECONDS, resume
from tests.bed import servers


async def test_unfinished_runs_go_on_after_a_kill_without_waiting_for_leases() -> None:
    try:
        [report] = await resume("postgresql", 300, lambda _: None, within="1m", flying=0, down=[0.0])
    except FileNotFoundError as missing:
        servers.missing(str(missing))
    else:
        assert report.findings.every == []
        assert report.held, "the process died at work"
        assert report.taken_up <= TARGET_SECONDS
