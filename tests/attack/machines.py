"""``crash`` on machines and on Alertmanager: commands, units, containers and silences, killed at every point.

The judge is the command's own account of its runs, the stand-in's ledger, or what Alertmanager shows.
"""

import asyncio
import contextlib
import json
import os
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from responder.clients.supervisor import USUAL_PATH
from tests.attack.wards import NO_UNDO, UNDONE, UNSURE, Judge, Kind, Seen
from tests.bed import ledger_command
from tests.bed.docker_peer import Engine, engine
from tests.bed.processes import private_directory
from tests.bed.servers import private_alertmanager
from tests.bed.ssh import Sshd, private_sshd
from tests.conformance.bed_systemd import install
from tests.process_bed import WEBHOOK_TOKEN

_COMMAND = 'command.run:\n      command: note\n      with:\n        item: "{{ labels.item }}"\n'
_CONTAINER = '      container: "{{ labels.item }}"\n'
_UPDATE = UNSURE + "docker.update:\n" + _CONTAINER + "      memory: 768m\n"
_BEFORE, _AFTER = 512 * 2**20, 768 * 2**20
_RESTART = NO_UNDO + 'systemd.restart:\n      unit: "{{ labels.item }}.service"\n'
_SILENCE = """\
alertmanager.silence:
      source: quiet
      matchers:
        - alertname="{{ labels.item }}"
      for: 30m
"""


@dataclass(slots=True)
class CommandJudge:
    """A folder in which a command keeps the account of its runs; it may be at the other end of a line."""

    folder: Path
    server: Sshd | None = None
    path: str = ""

    @property
    def _ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """What it may run, and where: one machine for both replicas. The journal alone says whether it landed."""
        argv = [sys.executable, "-I", "-S", ledger_command.__file__, str(self._ledger), "{{ item }}"]
        note = {"argv": [*argv, "busy"], "undo": [*argv, "idle"], "parameters": {"item": "[a-z0-9-]+"}}
        here: dict[str, object] = {"folder": str(self.folder / "journals")}
        if self.server is not None:
            spec = self.server.spec()
            files = {"key_file": str(spec.key_file), "known_hosts": str(spec.known_hosts)}
            here["ssh"] = {"address": spec.address, "port": spec.port, "user": spec.user, **files}
        return {"connections": {"host": {"here": here}}, "commands": {"note": note}}

    def prepare(self, name: str, item: str) -> None:
        """Leave it: an item of its own has no lines yet."""

    def landed(self, name: str, item: str) -> Seen:
        """Return how often the item was set, and to what at last."""
        lines = [line["value"] for line in ledger_command.entries(self._ledger) if line["item"] == item]
        return len(lines), lines[-1] if lines else ""

    def wanted(self, name: str) -> Seen:
        """Return what has to be."""
        return (2, "idle") if name.endswith(UNDONE) else (1, "busy")


@dataclass(slots=True)
class UnitJudge:
    """A stand-in for systemctl that writes down each restart."""

    folder: Path

    @property
    def path(self) -> str:
        """Where it is found before any other."""
        return f"{self.folder}:{os.environ.get('PATH', USUAL_PATH)}"

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """Which units may be restarted."""
        here = {"folder": str(self.folder / "journals"), "units": ["item-*.service"]}
        return {"connections": {"host": {"here": here}}}

    def prepare(self, name: str, item: str) -> None:
        """Let a unit run."""
        file = self.folder / "systemd.json"
        units = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        units[f"{item}.service"] = {"ActiveState": "active", "InvocationID": uuid.uuid4().hex}
        file.write_text(json.dumps(units), encoding="utf-8")

    def landed(self, name: str, item: str) -> Seen:
        """Return how often it was restarted."""
        ledger = self.folder / "ledger.jsonl"
        lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
        return sum(json.loads(line)["unit"] == f"{item}.service" for line in lines), ""

    def wanted(self, name: str) -> Seen:
        """Return what has to be."""
        return 1, ""


@dataclass(slots=True)
class ContainerJudge:
    """A container engine's peer, and its ledger."""

    peer: Engine
    path: str = ""

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """How a responder reaches it."""
        here = {"socket": str(self.peer.path), "containers": ["item-*"]}
        return {"connections": {"docker": {"here": here}}}

    def prepare(self, name: str, item: str) -> None:
        """Let a container run."""
        self.peer.run(item, memory=_BEFORE)

    def landed(self, name: str, item: str) -> Seen:
        """Return how often it was changed, and its memory where that is."""
        times = [name for name, _ in self.peer.ledger].count(item)
        memory = self.peer.containers[item]["HostConfig"]["Memory"]
        return times, "" if name == "docker-restart" else str(memory)

    def wanted(self, name: str) -> Seen:
        """Return what has to be."""
        if name == "docker-restart":
            return 1, ""
        return (2, str(_BEFORE)) if name.endswith(UNDONE) else (1, str(_AFTER))


@dataclass(slots=True)
class SilenceJudge:
    """An Alertmanager of its own, and the silences that it has."""

    url: str
    path: str = ""

    @property
    def settings(self) -> Mapping[str, Mapping[str, object]]:
        """How a responder reaches it: not the one that its alerts come from."""
        quiet = {
            "kind": "alertmanager",
            "authorization": {"credentials": f"{WEBHOOK_TOKEN}-quiet"},
            "api_url": {"url": self.url},
        }
        return {"sources": {"quiet": quiet}}

    def prepare(self, name: str, item: str) -> None:
        """Leave it: nobody has silenced a new item."""

    def landed(self, name: str, item: str) -> Seen:
        """Return how often the item was silenced and a silence of it ended, and how it stands."""
        with urllib.request.urlopen(f"{self.url}/api/v2/silences", timeout=5) as answer:  # noqa: S310 - our own server
            every: list[dict[str, Any]] = json.load(answer)
        states = [one["status"]["state"] for one in every if any(of["value"] == item for of in one["matchers"])]
        return len(states) + states.count("expired"), "loud" if "active" not in states else "quiet"

    def wanted(self, name: str) -> Seen:
        """Return what has to be."""
        return (2, "loud") if name.endswith(UNDONE) else (1, "quiet")


@contextlib.contextmanager
def _commands() -> Iterator[Judge]:
    with private_directory("commands") as folder:
        yield CommandJudge(folder)


@contextlib.contextmanager
def _commands_over_ssh() -> Iterator[Judge]:
    with private_sshd() as server, private_directory("commands") as folder:
        yield CommandJudge(folder, server)


@contextlib.contextmanager
def _units() -> Iterator[Judge]:
    with private_directory("units") as folder:
        install(folder)
        yield UnitJudge(folder)


@contextlib.contextmanager
def _containers() -> Iterator[Judge]:
    with private_directory("containers") as folder, _apart(engine(folder / "docker.sock")) as peer:
        yield ContainerJudge(peer)


@contextlib.contextmanager
def _silences() -> Iterator[Judge]:
    with private_alertmanager() as server:
        yield SilenceJudge(server.url)


Made = TypeVar("Made")


@contextlib.contextmanager
def _apart(opening: AbstractAsyncContextManager[Made]) -> Iterator[Made]:
    """Keep something open in a loop of its own, which goes on while cases are played."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(opening.__aenter__(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(opening.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


KINDS = {
    "command": Kind("host/here", {"command-kept": _COMMAND, "command-undone": _COMMAND}, _commands),
    "ssh": Kind("host/here", {"command-ssh-kept": _COMMAND, "command-ssh-undone": _COMMAND}, _commands_over_ssh),
    "systemd": Kind(
        "host/here",
        {"systemd-restart": f'{NO_UNDO}systemd.restart:\n      unit: "{{{{ labels.item }}}}.service"\n'},
        _units,
    ),
    "docker": Kind(
        "docker/here",
        {
            "docker-restart": NO_UNDO + UNSURE + "docker.restart:\n" + _CONTAINER,
            "docker-update-kept": _UPDATE,
            "docker-update-undone": _UPDATE,
        },
        _containers,
    ),
    "silence": Kind("http/checkout", {"silence-kept": _SILENCE, "silence-undone": _SILENCE}, _silences),
}
