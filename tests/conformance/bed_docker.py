"""``docker.restart`` and ``docker.update`` on a peer that enforces the documented API and keeps a ledger."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import JsonValue

from responder.clients.toolbox import DockerSpec, Toolbox
from responder.domain.errors import Permanent, Temporary
from tests.bed.docker_peer import Engine, engine
from tests.bed.processes import private_directory
from tests.conformance.action_bed import Bed, BedKind, Shape

TARGET = "docker/here/shop"
SHAPES = {
    "restart": Shape("docker.restart", {"container": "shop"}, single=True, target=TARGET),
    "memory": Shape("docker.update", {"container": "shop", "memory": "768m"}, target=TARGET),
    "all": Shape("docker.update", {"container": "shop", "memory": "1g", "cpus": 2.5}, target=TARGET, brief=True),
}


class DockerBed(Bed):
    """An engine with two containers."""

    landing = ("lost_reply",)
    losing = ("lost_request",)
    refusals = {"409": Temporary, "400": Permanent}  # noqa: RUF012 - never written
    telling = ("", "400")
    unreadable = ("unreadable",)

    def __init__(self, peer: Engine) -> None:
        self.peer = peer
        for name in ("shop", "other"):
            peer.run(name)
        self.tools = self.hasty = Toolbox({}, {}, docker={"here": DockerSpec(peer.path, ("shop*",))})

    async def world(self) -> JsonValue:
        world: JsonValue = json.loads(json.dumps(self.peer.containers))
        return world

    async def changes(self) -> int:
        return len(self.peer.ledger)

    async def holds(self, image: JsonValue) -> bool:
        assert isinstance(image, dict)
        shop = self.peer.containers["shop"]
        if "replaced" in image:
            return bool(shop["State"]["StartedAt"] != image["replaced"])
        return all(shop["HostConfig"][name] == value for name, value in image.items())

    async def fault(self, kind: str) -> None:
        self.peer.fault = kind

    async def unread(self, kind: str) -> None:
        self.peer.fault = kind

    async def heal(self) -> None:
        self.peer.fault, self.peer.stalled = "", False

    async def stall(self) -> None:
        self.peer.stalled = True

    async def edit_owned(self) -> None:
        self.peer.containers["shop"]["State"] = self.peer.started()
        self.peer.containers["shop"]["HostConfig"] |= {"Memory": 640 * 2**20, "NanoCpus": 3 * 10**8}

    async def edit_beside(self) -> None:
        self.peer.containers["other"]["HostConfig"]["Memory"] = 999 * 2**20


@asynccontextmanager
async def opened(_: pytest.FixtureRequest, __: Shape) -> AsyncIterator[DockerBed]:
    """Open a bed on an engine of its own."""
    with private_directory("docker") as folder:
        async with engine(folder / "docker.sock") as peer:
            bed = DockerBed(peer)
            yield bed
            await bed.tools.close()


KIND = BedKind(SHAPES, DockerBed, opened)
