"""What ``systemd.restart`` promises beyond the suite, with a stand-in for systemctl."""

from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from responder.actions.systemd_restart import SystemdRestart
from responder.domain.errors import Moved, Permanent, Uncertain
from responder.ports.action import Landed
from tests.bed.ssh import Sshd
from tests.conformance.action_bed import intended, landed
from tests.conformance.bed_systemd import SHAPES, TARGET, SystemdBed, opened, there


@pytest.fixture
async def bed(request: pytest.FixtureRequest) -> AsyncIterator[SystemdBed]:
    async with opened(request, SHAPES["restart"]) as one:
        yield one


async def test_what_nobody_saw_the_end_of_shows_in_the_invocation_or_is_left_to_a_person(bed: SystemdBed) -> None:
    action = SHAPES["restart"].make()
    for fault, expected in (("odd", Landed.YES), ("killed before", Landed.UNKNOWN), ("fails", Landed.NEVER)):
        record = await intended(action, bed.tools, TARGET)
        await bed.fault(fault)
        with pytest.raises(Permanent if fault == "fails" else Uncertain):
            await action.apply(TARGET, record, bed.tools)
        await bed.heal()
        assert await landed(action, record, "do", bed.tools) is expected, fault
    assert await bed.changes() == 1


async def test_only_the_units_that_are_named_are_restarted_and_only_as_they_were(bed: SystemdBed) -> None:
    other = SystemdRestart(unit="other.service")
    with pytest.raises(Permanent, match=r"not among connections\.host\.here\.units"):
        await other.snapshot("host/here/other.service", bed.tools)
    with pytest.raises(Permanent, match="not-found here"):
        await SystemdRestart(unit="worker-9.service").snapshot(TARGET, bed.tools)
    record = await intended(SHAPES["restart"].make(), bed.tools, TARGET)
    await bed.edit_owned()
    with pytest.raises(Moved):
        await SHAPES["restart"].make().apply(TARGET, record, bed.tools)
    assert await bed.changes() == 0


async def test_a_unit_of_another_machine_is_restarted_there_and_looked_at_there(sshd: Sshd) -> None:
    action = SHAPES["restart"].make()
    async with there(sshd) as bed:
        record = await intended(action, bed.tools, TARGET)
        await bed.fault("odd")
        with pytest.raises(Uncertain):
            await action.apply(TARGET, record, bed.tools)
        assert await landed(action, record, "do", bed.tools) is Landed.YES
        assert await bed.changes() == 1
        assert await bed.holds(record.planned)


@pytest.mark.parametrize("unit", ["worker", "--force.service", "a b.service", "../x.service/", ""])
def test_what_is_no_unit_is_refused(unit: str) -> None:
    with pytest.raises(ValidationError):
        SystemdRestart(unit=unit)
