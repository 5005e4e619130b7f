"""``command.run`` on another machine: a real sshd, with a proxy between that can cut the line."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from responder.clients.hosts import HostClient
from responder.clients.ssh import SshLine, SshSpec
from responder.clients.toolbox import HostSpec
from responder.domain.errors import Temporary
from tests.bed.processes import private_directory
from tests.bed.proxy import Mode, Proxy, proxied
from tests.bed.ssh import Sshd
from tests.conformance.action_bed import Bed, BedKind, Shape
from tests.conformance.bed_command import CommandBed, shape

SHAPES = {"with landed": shape("known")}


class SshBed(CommandBed):
    """The ledger and the journals are at the other end; what is there sees the token of its own environment only.

    What happens there alone, without the line, is tried on the local bed: the program there is the same.
    """

    losing = ()  # see test_ssh.py
    telling = ("fails",)
    refusals = {"no connection": Temporary}  # noqa: RUF012 - never written
    unreadable = ("no connection",)

    def __init__(self, folder: Path, server: Sshd, proxy: Proxy) -> None:
        self.server, self.proxy = server, proxy
        self.spec = server.spec(proxy.port)
        super().__init__(folder, HostSpec(Path(), ssh=self.spec))

    def host(self, spec: SshSpec | None = None) -> HostClient:
        """Return the machine as a client of its own has it, reached in another way if asked for."""
        return HostClient("here", str(self.journals), self.commands, SshLine("here", spec or self.spec))

    async def fault(self, kind: str) -> None:
        if kind == "no connection":
            await self.proxy.switch(Mode.REFUSE)
        else:
            await super().fault(kind)

    async def unread(self, kind: str) -> None:
        if kind == "no connection":
            await self.proxy.switch(Mode.REFUSE)
        else:
            await super().unread(kind)

    async def heal(self) -> None:
        await self.proxy.switch(Mode.PASS)
        await super().heal()


@asynccontextmanager
async def beside(server: Sshd) -> AsyncIterator[SshBed]:
    """Open a bed beside a running server."""
    with private_directory("ssh") as folder:
        async with proxied(f"ssh://127.0.0.1:{server.port}") as proxy:
            bed = SshBed(folder, server, proxy)
            yield bed
            await bed.heal()


def opened(request: pytest.FixtureRequest, _: Shape) -> AbstractAsyncContextManager[Bed]:
    """Open a bed in a folder of its own."""
    return beside(request.getfixturevalue("sshd"))


KIND = BedKind(SHAPES, SshBed, opened, server=True)
