"""Behind the demonstration: a folder, a real service and a real responder, all gone when the story is over."""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import aiohttp
from aiohttp import web

from responder.demo.checkout import Checkout, make_app

PLAYBOOKS = Path(__file__).with_name("playbooks")
START_SECONDS = 20.0
STOP_SECONDS = 5.0
COMMAND_SECONDS = 10.0
SHOWN_LINES = 6
"""How much of the log is shown when it did not start: the last lines say why."""
CONFIGURATION = """\
store: {store}
playbooks: [ playbooks/ ]
sources:
  alertmanager: {{ kind: alertmanager, authorization: {{ credentials_file: alertmanager.token }} }}
access:
  tokens: [ {{ name: you, role: operator, token_file: you.token }} ]
connections:
  http:
    checkout: {{ url: "{service}", allow: [ "GET /*", "PUT /admin/*" ] }}
notify: {{ console: true }}
page: {{ console: true }}
routes:
  - {{ console: true, incidents: all }}
"""

Row = Mapping[str, object]


class StageError(Exception):
    """Something behind the scenes did not come up; the message says what it said."""


@dataclass(slots=True)
class Stage:
    """A running responder and the service it looks after."""

    folder: Path
    url: str
    session: aiohttp.ClientSession
    checkout: Checkout
    responder: Process
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    said: list[str] = field(default_factory=list)

    async def post(self, body: Mapping[str, object]) -> int:
        """Send a webhook as Alertmanager would; returns the HTTP status."""
        token = (self.folder / "alertmanager.token").read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.post(f"{self.url}/webhook/alertmanager", json=body, headers=headers) as answer:
            return answer.status

    async def latest_run(self, playbook: str) -> Row | None:
        """Return the latest run of ``playbook``, or None before there is one."""
        token = (self.folder / "you.token").read_text(encoding="utf-8").strip()
        parameters = {"playbook": playbook, "limit": "1"}
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.get(f"{self.url}/api/v1/runs", params=parameters, headers=headers) as answer:
            if answer.status != web.HTTPOk.status_code:
                raise StageError(f"the responder answered {answer.status}: {(await answer.text())[:200]}")
            items = (await answer.json()).get("items")
        return cast("Row", items[0]) if items else None

    async def command(self, *arguments: str, columns: int) -> tuple[int, str]:
        """Run ``responder`` with ``arguments`` as a user would; returns its exit code and what it wrote."""
        environment = {
            **os.environ,
            "RESPONDER_URL": self.url,
            "RESPONDER_TOKEN_FILE": str(self.folder / "you.token"),
            "COLUMNS": str(columns),
            "PYTHONUTF8": "1",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "responder", *arguments),
            env=environment,
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                output, _ = await process.communicate()
        finally:
            await _stop(process)
        return process.returncode or 0, output.decode(errors="replace").rstrip()

    async def quiet(self, seconds: float = 0.7, most: float = 3.0) -> None:
        """Wait until the responder has told all it had to tell: nothing new for ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most):
                while await self._heard_within(seconds):
                    pass

    async def says(self, text: str, most: float = 5.0) -> None:
        """Wait until the responder's console has shown ``text``, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most):
                while not any(text in line for line in self.said):
                    self.heard.clear()
                    await self.heard.wait()

    async def _heard_within(self, seconds: float) -> bool:
        self.heard.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.heard.wait()
        return False


@asynccontextmanager
async def backstage(checkout: Checkout, tell: Callable[[str], None]) -> AsyncIterator[Stage]:
    """Start everything, hand each line of the responder's console to ``tell``, and leave nothing behind.

    Raises StageError when the responder does not become ready.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="responder-demo-")))
        service = await _serve_checkout(checkout, stack)
        write_folder(folder, service)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        port = _free_port()
        process = await _start_responder(folder, port)
        stack.push_async_callback(_stop, process)
        stage = Stage(folder, f"http://127.0.0.1:{port}", session, checkout, process)
        relay = asyncio.create_task(_relay(stage, tell), name="console")
        stack.push_async_callback(_end, relay)
        await _ready(stage)
        yield stage


def write_folder(folder: Path, service_url: str) -> None:
    """Write the configuration, the tokens and the playbooks, as somebody would for their own service."""
    shutil.copytree(PLAYBOOKS, folder / "playbooks")
    for name in ("alertmanager.token", "you.token"):
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24), encoding="utf-8")
    text = CONFIGURATION.format(store=f"sqlite:///{folder / 'responder.db'}", service=service_url)
    (folder / "responder.yml").write_text(text, encoding="utf-8")


async def _serve_checkout(checkout: Checkout, stack: contextlib.AsyncExitStack) -> str:
    runner = web.AppRunner(make_app(checkout), access_log=None, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def _start_responder(folder: Path, port: int) -> Process:
    # A session of its own: Ctrl-C reaches this program alone, which then stops the responder in good order.
    with (folder / "responder.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-m", "responder", "serve", "--log.level", "warn", "--log.format", "logfmt"),
            *("--config.file", str(folder / "responder.yml"), "--web.listen-address", f"127.0.0.1:{port}"),
            cwd=folder,
            env={**os.environ, "PYTHONUTF8": "1"},
            stdout=PIPE,
            stderr=log,
            start_new_session=True,
        )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def _ready(stage: Stage) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while stage.responder.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with stage.session.get(f"{stage.url}/-/ready") as answer:
                        if answer.status == web.HTTPOk.status_code:
                            return
                await asyncio.sleep(0.1)
    said = (stage.folder / "responder.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise StageError("\n".join(["the responder did not start:", *(said[-SHOWN_LINES:] or ["(it said nothing)"])]))


async def _relay(stage: Stage, tell: Callable[[str], None]) -> None:
    assert stage.responder.stdout is not None  # noqa: S101 - it was started with a pipe
    async for line in stage.responder.stdout:
        said = line.decode(errors="replace").rstrip()
        tell(said)
        stage.said.append(said)
        stage.heard.set()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
