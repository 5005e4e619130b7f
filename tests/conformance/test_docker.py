"""What the actions on containers promise beyond the suite: named ones only, no limit that could not be taken back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from responder.actions.docker_restart import DockerRestart
from responder.actions.docker_update import DockerUpdate
from responder.clients.toolbox import DockerSpec, Toolbox
from responder.domain.errors import Permanent, Temporary
from tests.conformance.action_bed import applied, intended
from tests.conformance.bed_docker import SHAPES, TARGET, DockerBed, opened


@pytest.fixture
async def bed(request: pytest.FixtureRequest) -> AsyncIterator[DockerBed]:
    async with opened(request, SHAPES["memory"]) as one:
        yield one


async def test_memory_takes_its_swap_along_and_both_come_back(bed: DockerBed) -> None:
    action = SHAPES["memory"].make()
    record = await applied(action, bed.tools, TARGET)
    assert record.before == {"Memory": 512 * 2**20, "MemorySwap": 1024 * 2**20}
    assert record.observed == {"Memory": 768 * 2**20, "MemorySwap": 1280 * 2**20}
    await action.undo(TARGET, record, bed.tools)
    assert bed.peer.containers["shop"]["HostConfig"]["MemorySwap"] == 1024 * 2**20


async def test_a_limit_where_there_was_none_is_not_set(bed: DockerBed) -> None:
    """The API takes 0 as nothing said: nobody could take the limit away again."""
    bed.peer.run("shop", memory=0, cpus=0)
    for action in (DockerUpdate(container="shop", memory="1g"), DockerUpdate(container="shop", cpus=1)):
        before = (await action.snapshot(TARGET, bed.tools)).image
        with pytest.raises(ValueError, match="could be set, and not be taken away again"):
            action.change(before)


async def test_what_the_engine_refuses_says_why(bed: DockerBed) -> None:
    action = DockerUpdate(container="shop", memory="1m")
    record = await intended(action, bed.tools, TARGET)
    with pytest.raises(Permanent, match="Minimum memory limit allowed is 6MB"):
        await action.apply(TARGET, record, bed.tools)
    with pytest.raises(Permanent, match="No such container: shop-2"):
        await DockerRestart(container="shop-2").snapshot(TARGET, bed.tools)
    with pytest.raises(Permanent, match=r"other is not among connections\.docker\.here\.containers"):
        await DockerRestart(container="other").snapshot(TARGET, bed.tools)


async def test_an_engine_that_is_not_there_is_worth_another_try(tmp_path: Path) -> None:
    tools = Toolbox({}, {}, docker={"here": DockerSpec(tmp_path / "none.sock", ("*",))})
    with pytest.raises(Temporary, match="cannot be reached"):
        await DockerRestart(container="shop").snapshot(TARGET, tools)
    await tools.close()


@pytest.mark.parametrize(
    "given", [{}, {"memory": "much"}, {"memory": "0m"}, {"cpus": 0}, {"memory": "1g", "container": "../x"}]
)
def test_what_cannot_be_meant_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DockerUpdate.model_validate({"container": "shop", **given})
