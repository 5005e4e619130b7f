"""``command.run`` with a command that keeps a ledger of its own; its supervisor can be killed before and after."""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import JsonValue

from responder.clients.toolbox import HostSpec, Toolbox
from responder.domain.errors import Permanent
from responder.language.commands import USUAL_ENVIRONMENT, Codes, Command, Job
from tests.bed import ledger_command
from tests.bed.ledger_command import entries
from tests.bed.processes import private_directory
from tests.bed.waiting import eventually
from tests.conformance.action_bed import SECRET, Bed, BedKind, Shape

HERE = HostSpec(Path())
TARGET = "host/here/it"
PROGRAM = (sys.executable, "-I", "-S", ledger_command.__file__)
TOKEN = "BED_TOKEN"
CODES = Codes(nothing=frozenset({3}), failed=frozenset({2}))


def commands(ledger: Path) -> dict[str, Command]:
    """Return the commands of the bed."""
    usual = Job((), environment=(*USUAL_ENVIRONMENT, TOKEN), codes=CODES, seconds=20)
    parameters = {"item": "[a-z0-9-]+", "value": "[a-z]+"}
    do = (*PROGRAM, str(ledger), "{{ item }}", "{{ value }}")
    undo = (*PROGRAM, str(ledger), "{{ item }}", "idle")
    known = Command("known", do, undo, (*PROGRAM, str(ledger), "--landed"), parameters, usual=usual)
    return {"known": known, "unknown": replace(known, name="unknown", landed=())}


def shape(command: str, *, blind: bool = False, brief: bool = False) -> Shape:
    """Return a shape of ``command.run``."""
    given: Mapping[str, JsonValue] = {"command": command, "with": {"item": "it", "value": "busy"}}
    return Shape("command.run", given, blind=blind, brief=brief, single=True, target=TARGET)


SHAPES = {"with landed": shape("known")}
BLIND = shape("unknown", blind=True)


class CommandBed(Bed):
    """A folder with the ledger and the journals."""

    landing = ("killed after",)
    losing: ClassVar[tuple[str, ...]] = ("killed before",)
    refusals = {"fails": Permanent}  # noqa: RUF012 - never written
    telling: ClassVar[tuple[str, ...]] = ("", "fails", "odd")
    unreadable: ClassVar[tuple[str, ...]] = ("no folder",)
    stalls = False  # a command that has begun goes on: see test_command_run.py

    def __init__(self, folder: Path, host: HostSpec = HERE) -> None:
        self.ledger, self.journals = folder / "ledger.jsonl", folder / "journals"
        self.commands = commands(self.ledger)
        hosts = {"here": replace(host, folder=self.journals)}
        self.tools = self.hasty = Toolbox({}, {}, hosts=hosts, commands=self.commands)
        self._healthy = folder / "healthy"

    async def world(self) -> JsonValue:
        world: dict[str, JsonValue] = {"it": "idle"}
        return world | {entry["item"]: entry["value"] for entry in entries(self.ledger)}

    async def changes(self) -> int:
        return len(entries(self.ledger))

    async def holds(self, image: JsonValue) -> bool:
        assert isinstance(image, dict)
        world = await self.world()
        assert isinstance(world, dict)
        return world["it"] == ("busy" if "ran" in image else "idle")

    async def fault(self, kind: str) -> None:
        self.ledger.with_suffix(".fault").write_text(kind, encoding="utf-8")

    async def unread(self, kind: str) -> None:
        self.journals.rename(self._healthy)
        self.journals.write_text("", encoding="utf-8")

    async def heal(self) -> None:
        if self._healthy.exists():
            self.journals.unlink()
            self._healthy.rename(self.journals)
        await eventually(self._quiet)

    async def _quiet(self) -> bool:
        """Whether no command runs: the one whose supervisor was killed lives a moment longer."""
        return not any(str(self.ledger) in arguments for arguments in _running())

    async def edit_owned(self) -> None:
        for name, command in self.commands.items():
            self.commands[name] = replace(command, argv=(*command.argv[:-1], "lazy"))

    async def edit_beside(self) -> None:
        raise NotImplementedError  # it picks nothing


def _running() -> Iterator[str]:
    """Go through the arguments of every process."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (process / "cmdline").read_text(encoding="utf-8", errors="replace")


@asynccontextmanager
async def opened(_: pytest.FixtureRequest, __: Shape) -> AsyncIterator[CommandBed]:
    """Open a bed in a folder of its own."""
    os.environ[TOKEN] = SECRET
    try:
        with private_directory("command") as folder:
            bed = CommandBed(folder)
            yield bed
            await bed.heal()
    finally:
        del os.environ[TOKEN]


KIND = BedKind(SHAPES, CommandBed, opened)
