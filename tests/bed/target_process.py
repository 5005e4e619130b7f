"""The target as a process of its own: it outlives a responder that is killed, and its ledger outlives both."""

import contextlib
import json
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bed import ledger
from tests.bed.processes import Child, free_port, private_directory, start
from tests.bed.web import JsonObject

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class TargetProcess:
    """A running target and where it writes."""

    url: str
    path: Path
    child: Child

    def entries(self) -> list[ledger.Entry]:
        """Return what its ledger holds; works after its end, too."""
        return ledger.read(self.path)

    def fault(self, kind: str, times: int = 1, **more: object) -> None:
        """Let the next `times` admin requests fail, see target_peer.KINDS."""
        self._send("POST", "/faults", {"kind": kind, "times": times, **more})

    def settings(self, **wanted: object) -> None:
        """Change how it works, see target_peer.Settings."""
        self._send("PUT", "/settings", wanted)

    def metric(self, name: str, value: float) -> None:
        """Set a gauge; it hides a computed one of the same name."""
        self._send("PUT", f"/metrics/{urllib.parse.quote(name)}", value)

    def resource(self, name: str) -> JsonObject:
        """Return a resource as it stands."""
        found: JsonObject = json.loads(self._send("GET", f"/admin/{name}"))
        return found

    def _send(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)  # noqa: S310 -- our own server
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 -- as above
            content: bytes = answer.read()
            return content


@contextlib.contextmanager
def target_process(*, fsync: bool = False, settings: JsonObject | None = None) -> Iterator[TargetProcess]:
    """Run a target; it ends with the test, its ledger with it."""
    with private_directory("target") as directory:
        port, path = free_port(), directory / "ledger.jsonl"
        command = [sys.executable, "-m", "tests.bed.target_peer", "--port", str(port), "--ledger", str(path)]
        command += ["--settings", json.dumps(settings or {}), *(["--fsync"] if fsync else [])]
        child = start("target", command, directory=directory, env={"PYTHONPATH": str(_ROOT)})
        try:
            child.wait_for_port(port)
            yield TargetProcess(f"http://127.0.0.1:{port}", path, child)
        finally:
            child.stop()
