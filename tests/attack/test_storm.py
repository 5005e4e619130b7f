"""A share of ``make storm``: two thousand alerts in two seconds."""

from tests.attack.storm import MOST, storm
from tests.bed import servers


async def test_a_storm_loses_nothing_and_keeps_to_the_limits() -> None:
    try:
        report = await storm(2_000, 2.0, lambda _: None)
    except FileNotFoundError as missing:
        servers.missing(str(missing))
    else:
        assert report.findings.every == []
        assert report.effects == MOST
