"""``systemd.restart`` with a stand-in for systemctl on the PATH that keeps a ledger: no systemd runs here."""

import json
import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from responder.clients.supervisor import USUAL_PATH
from responder.clients.toolbox import HostSpec, Toolbox
from tests.bed import systemctl
from tests.bed.processes import private_directory
from tests.bed.ssh import Sshd
from tests.conformance.action_bed import BedKind, Shape
from tests.conformance.bed_command import HERE, CommandBed

TARGET = "host/here/worker.service"
SHAPES = {"restart": Shape("systemd.restart", {"unit": "worker.service"}, single=True, target=TARGET)}


def install(folder: Path) -> None:
    """Put the stand-in for systemctl into a folder."""
    program = folder / "systemctl"
    call = f"import sys; sys.path.insert(0, {str(Path(systemctl.__file__).parents[2])!r})"
    load = "from pathlib import Path; from tests.bed.systemctl import main"
    run = f"{load}; raise SystemExit(main(Path({str(folder)!r}), *sys.argv[1:]))"
    program.write_text(f"#!{sys.executable} -IS\n{call}\n{run}\n", encoding="utf-8")
    program.chmod(0o755)


class SystemdBed(CommandBed):
    """Two units, of which one is restarted."""

    losing = ()  # between systemctl and its end nobody can tell: see the test of its own

    def __init__(self, folder: Path, host: HostSpec = HERE) -> None:
        super().__init__(folder, host)
        hosts = {"here": replace(host, folder=self.journals, units=("worker*.service",))}
        self.tools = self.hasty = Toolbox({}, {}, hosts=hosts)
        self.state = folder / "systemd.json"
        self._write({name: self._fresh() for name in ("worker.service", "other.service")})
        install(folder)

    def _fresh(self) -> dict[str, str]:
        return {"ActiveState": "active", "InvocationID": uuid.uuid4().hex}

    def _write(self, units: dict[str, dict[str, str]]) -> None:
        self.state.write_text(json.dumps(units), encoding="utf-8")

    def units(self) -> dict[str, dict[str, str]]:
        """Return the units as they are."""
        found: dict[str, dict[str, str]] = json.loads(self.state.read_text(encoding="utf-8"))
        return found

    async def world(self) -> JsonValue:
        return {name: unit["InvocationID"] for name, unit in self.units().items()}

    async def changes(self) -> int:
        return len(self.ledger.read_text(encoding="utf-8").splitlines()) if self.ledger.exists() else 0

    async def holds(self, image: JsonValue) -> bool:
        assert isinstance(image, dict)
        return image.get("replaced") != self.units()["worker.service"]["InvocationID"]

    async def edit_owned(self) -> None:
        self._write({**self.units(), "worker.service": self._fresh()})


@asynccontextmanager
async def there(server: Sshd) -> AsyncIterator[SystemdBed]:
    """Open a bed whose units are at the other end of a line, and no systemctl here."""
    folder = server.folder / "bin"
    folder.mkdir()
    try:
        bed = SystemdBed(folder, HostSpec(Path(), ssh=server.spec()))
        yield bed
        await bed.heal()
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def opened(_: pytest.FixtureRequest, __: Shape) -> AsyncIterator[SystemdBed]:
    """Open a bed in a folder of its own, which is the first on the PATH."""
    before = os.environ.get("PATH", USUAL_PATH)
    try:
        with private_directory("systemd") as folder:
            os.environ["PATH"] = f"{folder}:{before}"
            bed = SystemdBed(folder)
            yield bed
            await bed.heal()
    finally:
        os.environ["PATH"] = before


KIND = BedKind(SHAPES, SystemdBed, opened)
