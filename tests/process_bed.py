"""The responder as users run it: ``python -m responder serve`` as a process of its own, reached over HTTP only."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

from tests.bed.processes import Child, free_port, private_directory, start
from tests.bed.web import JsonObject

ROOT = Path(__file__).parents[1]
TOKEN = "acceptance-token"
WEBHOOK_TOKEN = "webhook-token"
DELIVER_SECONDS = 30.0


@dataclass
class Responder:
    """One responder: its folder, its configuration, its process."""

    directory: Path
    port: int
    config: JsonObject
    name: str = "responder"
    child: Child | None = field(default=None, repr=False)
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ("responder", "serve")
    """The module that is run, and its arguments before those of ``serve``."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, within: timedelta = timedelta(seconds=30)) -> None:
        """Start the process and wait until it says that it is ready."""
        path = self.directory / "responder.yml"
        path.write_text(json.dumps(self.config, indent=1), encoding="utf-8")  # JSON is YAML
        argv: list[str | Path] = [
            sys.executable, "-m", *self.command, "--config.file", path,
            "--web.listen-address", f"127.0.0.1:{self.port}", "--log.format", "json",
        ]  # fmt: skip
        self.child = start(self.name, argv, directory=self.directory, env={"PYTHONPATH": str(ROOT), **self.environment})
        self.child.wait_until(self.ready, within)

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.call("GET", "/-/ready")[0] == 200
        return False

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        assert self.child is not None
        self.child.kill()

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        assert self.child is not None
        return self.child.stop(within=timedelta(seconds=30))

    def call(self, method: str, path: str, body: object = None, token: str = TOKEN) -> tuple[int, str]:
        """Send a request and return status and text."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310 -- our own server
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 -- as above
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def post(self, body: Mapping[str, object]) -> int:
        """Post a webhook as Alertmanager does and return the status."""
        return self.call("POST", "/webhook/alertmanager", body, WEBHOOK_TOKEN)[0]

    def deliver(self, body: Mapping[str, object]) -> None:
        """Post a webhook until it is acknowledged, as Alertmanager does when a busy store asks it to."""
        until = time.monotonic() + DELIVER_SECONDS
        while (status := self.post(body)) != HTTPStatus.OK:
            assert status == HTTPStatus.SERVICE_UNAVAILABLE, status
            assert time.monotonic() < until, "never acknowledged"
            time.sleep(0.1)  # Alertmanager's own back-off

    def get(self, path: str) -> JsonObject:
        """GET a JSON object of the API."""
        status, text = self.call("GET", f"/api/v1/{path}")
        assert status == 200, text
        found: JsonObject = json.loads(text)
        return found

    def items(self, path: str) -> list[JsonObject]:
        """Return all rows of a list, through every page."""
        rows: list[JsonObject] = []
        cursor = ""
        while True:
            joint = "&" if "?" in path else "?"
            page = self.get(f"{path}{joint}limit=200&cursor={cursor}")
            rows += page["items"]
            cursor = page.get("next") or ""
            if not cursor:
                return rows

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a client command as a user would."""
        env = {
            "PYTHONPATH": str(ROOT), "RESPONDER_URL": self.url, "NO_COLOR": "1",
            "RESPONDER_TOKEN_FILE": str(self.directory / "token"),
        }  # fmt: skip
        argv = [sys.executable, "-m", "responder", *arguments]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)


def config(store: str, target_url: str, **more: object) -> JsonObject:
    """Return a configuration that reaches the target as ``checkout``."""
    return {
        "store": store,
        "playbooks": ["playbooks/"],
        "sources": {"alertmanager": {"kind": "alertmanager", "authorization": {"credentials": WEBHOOK_TOKEN}}},
        "access": {"tokens": [{"name": "oncall", "role": "admin", "token_file": "token"}]},
        "connections": {"http": {"checkout": {"url": target_url, "allow": ["* /*"]}}},
        "notify": {"console": True},
        "page": {"console": True},
        "routes": [{"console": True, "incidents": "all"}],
        **more,
    }


@contextlib.contextmanager
def responder(playbooks: Mapping[str, str], settings: JsonObject, name: str = "responder") -> Iterator[Responder]:
    """Give a responder with these playbooks, not yet started; whatever runs at the end is stopped."""
    with private_directory(name) as directory:
        (directory / "playbooks").mkdir()
        (directory / "token").write_text(TOKEN, encoding="utf-8")
        (directory / "token").chmod(0o600)
        for file, text in playbooks.items():
            (directory / "playbooks" / file).write_text(text, encoding="utf-8")
        made = Responder(directory, free_port(), settings, name)
        try:
            yield made
        finally:
            if made.child is not None:
                made.child.stop()
