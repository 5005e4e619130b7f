"""A responder with many lives: it is hurt, found dead, started again, and goes on where its store says."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import asyncpg

from tests.attack.launcher import Order
from tests.attack.points import Plan
from tests.attack.scenarios import PLAYBOOKS
from tests.bed.alerts import alert, resolved, webhook
from tests.bed.processes import free_port, private_directory
from tests.bed.web import JsonObject
from tests.process_bed import ROOT, TOKEN, WEBHOOK_TOKEN, config

_QUEUES = ("deliveries", "runs", "outbox")
PATIENCE = 240.0
"""Seconds that anything may take to happen; then it is a finding. A step in doubt is looked at until its deadline."""
_PAUSE = 0.02
_ANSWER = 1.0  # seconds until a silent responder is looked at: it may be frozen
_START = 20.0
_ABANDONED = 1.0  # seconds from a lost answer until its lease is ended; turns of the bed take much less
FINAL = frozenset(
    "verified rolled_back partly_rolled_back failed unknown skipped observed cancelled expired".split()  # noqa: SIM905
)


class Stuck(Exception):
    """Something that had to happen did not."""


@dataclass(slots=True)
class Launcher:
    """The process that forks responders."""

    process: subprocess.Popen[str]

    def fork(self, order: Order) -> int:
        """Start a responder and return its pid."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(order)) + "\n")
        self.process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextlib.contextmanager
def launcher(path: str = "") -> Iterator[Launcher]:
    """Run a launcher; whatever it forked ends with it. ``path`` is where programs are found, if not in usual places."""
    environment = {"PYTHONPATH": str(ROOT), **({"PATH": path} if path else {})}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.attack.launcher"],
        cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    made = Launcher(process)
    try:
        assert made._answer() == "ready"
        yield made
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@dataclass(slots=True)
class Victim:
    """One responder over one store. ``plans`` are for its coming lives: the next start takes the first."""

    directory: Path
    store: str
    forks: Launcher
    pid: int = 0
    port: int = 0
    frozen: int = 0
    plans: list[Plan] = field(default_factory=list)
    deaths: int = 0
    freezes: int = 0
    acknowledged: list[str] = field(default_factory=list)
    losing: bool = False
    lost_at: float = 0.0
    prefix: str = "http/checkout"
    _life: int = 0

    # --- life and death ---

    def start(self) -> None:
        """Start a process, with the next plan armed from its beginning, and wait until it is ready."""
        self._life += 1
        self.port = free_port()
        self._put(self.plans.pop(0) if self.plans else None)
        order = Order(
            directory=str(self.directory), listen=f"127.0.0.1:{self.port}", log=str(self.directory / "responder.log"),
            points=str(self.points), plan=str(self.plan),
        )  # fmt: skip
        self.pid = self.forks.fork(order)
        until = time.monotonic() + _START
        while not self._ready():
            if not _alive(self.pid):
                if self.struck():
                    self.deaths += 1
                    return self._again()
                raise Stuck(f"it does not start: {self.tail()}")
            if time.monotonic() > until:
                raise Stuck(f"not ready after {_START:g} s: {self.tail()}")
            time.sleep(_PAUSE / 2)
        return None

    def arm(self, plan: Plan | None) -> None:
        """Give the running process a plan; its points count from now."""
        if not _state(self.pid):  # what the last case had planned has struck after its end
            self.revive()
        self.losing, self.lost_at = plan is not None and plan.mode == "lost", 0.0
        self._put(plan)
        self.points.write_text("", encoding="utf-8")  # the process opens it anew for each line
        os.kill(self.pid, signal.SIGUSR1)
        self.wait(lambda: "ARMED" in self.points.read_text(encoding="utf-8"), "the plan was not taken")

    def end(self) -> None:
        """End what runs."""
        for pid in (self.pid, self.frozen):
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.pid = self.frozen = 0

    def thaw(self, seconds: float = 0.6) -> None:
        """Let a frozen process go on for a moment, and end it: whatever it still does has to be harmless."""
        if self.frozen:
            os.kill(self.frozen, signal.SIGCONT)
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.frozen, signal.SIGKILL)
            self.frozen = 0

    def revive(self) -> bool:
        """Start again after a planned death, or beside a frozen process; false when it is well."""
        state = _state(self.pid)
        if state == "T":
            self.freezes += 1
            self.frozen = self.pid
        elif state:
            self._abandoned()
            return False
        elif self.struck():
            self.deaths += 1
        else:
            raise Stuck(f"it died by itself: {self.tail()}")
        self._again()
        return True

    def _abandoned(self) -> None:
        """End the leases of work that a lost answer has left behind, once it has had the time to be told off."""
        if self.lost_at and time.monotonic() > self.lost_at + _ABANDONED:
            self.lost_at = 0.0
            self.let_time_pass()
        elif self.losing and self.struck():
            self.losing, self.lost_at = False, time.monotonic()

    def _again(self) -> None:
        dead, until = self.pid, time.monotonic() + _START
        # On a busy machine the other threads of a killed process live on for a moment, and so do its locks on files.
        while not self.frozen and Path(f"/proc/{dead}").exists() and time.monotonic() < until:
            time.sleep(_PAUSE / 2)
        self.let_time_pass()
        self.start()

    def let_time_pass(self) -> None:
        """End the leases of the dead, and the transactions of the frozen, as half a minute would."""
        if self.store.startswith("sqlite"):
            with contextlib.closing(sqlite3.connect(self.directory / "responder.db", timeout=10)) as connection:
                for queue in _QUEUES:
                    connection.execute(f"UPDATE {queue} SET lease_until = 1 WHERE lease_until IS NOT NULL")  # noqa: S608
                connection.commit()
            return
        asyncio.run(_end_leases(self.store))

    # --- what a person does, again and again until it is answered ---

    def fire(self, playbook: str, item: str) -> None:
        """Deliver a firing alert."""
        self._deliver(webhook([_alert(playbook, item)], group_by=["item"]))
        self.acknowledged.append(item)

    def resolve(self, playbook: str, item: str) -> None:
        """Deliver the end of an alert."""
        self._deliver(webhook([resolved(_alert(playbook, item))], group_by=["item"]))

    def until(self, item: str, *states: str, kind: str = "forward") -> JsonObject:
        """Wait for the item's run to be in one of ``states`` or at its end, and return it."""
        found: list[JsonObject] = []

        def there() -> bool:
            found[:] = [one for one in self.runs(item) if one["kind"] == kind]
            return bool(found) and found[0]["state"] in FINAL.union(states)

        self.wait(there, f"{item}: no end of the {kind} run")
        return found[0]

    def approve(self, run: JsonObject) -> None:
        """Say yes to the plan that is shown, as long as it is asked for."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            asked = self.items(f"approvals?run={run['id']}")
            if not asked or asked[0]["state"] != "pending":
                return
            if self.ask("approve", run, {"plan_hash": asked[0]["plan_hash"]}):
                return
        raise Stuck(f"{run['id']}: no yes was taken")

    def decline(self, run: JsonObject) -> None:
        """Say no to the question between two steps, once it is asked."""
        pending: list[JsonObject] = []

        def asked() -> bool:
            found = self.items(f"approvals?run={run['id']}")
            pending[:] = [one for one in found if one["state"] == "pending"]
            return bool(found) and found[0]["state"] != "void"

        self.wait(asked, f"{run['id']}: nothing was asked")
        if pending:
            self.ask("reject", run)

    def ask(self, what: str, run: JsonObject, body: Mapping[str, object] | None = None) -> bool:
        """Ask for something; a conflict means that it was done before or comes too late."""
        status, text = self.call("POST", f"/api/v1/runs/{run['id']}/{what}", body or {})
        if status not in {200, 201, 202, 204, 409}:
            raise Stuck(f"{what} was answered with {status}: {text}")
        return status != 409

    def runs(self, item: str) -> list[JsonObject]:
        """Return the runs of an item, the newest first."""
        return self.items(f"runs?target={self.prefix}/{item}")

    def items(self, path: str) -> list[JsonObject]:
        """Return the first rows of a list."""
        joint = "&" if "?" in path else "?"
        status, text = self.call("GET", f"/api/v1/{path}{joint}limit=200")
        if status != 200:
            raise Stuck(f"{path} was answered with {status}: {text}")
        found: list[JsonObject] = json.loads(text)["items"]
        return found

    def quiet(self, seconds: float) -> bool:
        """Wait until every delivery is decided and everybody was told, at most ``seconds``; true when it is so."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.items("deliveries?state=waiting") and not self.items("outbox?state=waiting"):
                return True
            time.sleep(_PAUSE)
        return False

    def call(self, method: str, path: str, body: object = None, token: str = TOKEN) -> tuple[int, str]:
        """Send a request until it is answered; the responder is started again when it is dead."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self.revive()
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, text = self._once(method, path, body, token)
                if status != 503:  # the store has a moment of its own: everybody asks again
                    return status, text
            time.sleep(_PAUSE)
        raise Stuck(f"{method} {path} is never answered: {self.tail()}")

    def wait(self, until: Callable[[], bool], why: str, seconds: float = PATIENCE) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                raise Stuck(f"{why}: {self.tail()}")
            time.sleep(_PAUSE)

    # --- what is on the disk ---

    @property
    def points(self) -> Path:
        """The points that were met, by all lives."""
        return self.directory / f"points-{self._life}"

    @property
    def plan(self) -> Path:
        """The plan of the life that is."""
        return self.directory / f"plan-{self._life}"

    def met(self) -> list[str]:
        """Return what the process that runs, or has just died, has met since its plan was made."""
        lines = self.points.read_text(encoding="utf-8").splitlines() if self.points.exists() else []
        return lines[len(lines) - lines[::-1].index("ARMED") :] if "ARMED" in lines else lines

    def armed(self) -> bool:
        """Say whether a strike is still to come."""
        return bool(self.plan.read_text(encoding="utf-8").strip()) and not self.struck()

    def struck(self) -> bool:
        """Say whether the plan of this life has struck."""
        return any(line.startswith("STRUCK") for line in self.met())

    def tail(self) -> str:
        """Return the end of what the responders have logged."""
        log = self.directory / "responder.log"
        return log.read_text(errors="replace")[-1500:] if log.exists() else "no log"

    def _put(self, plan: Plan | None) -> None:
        self.plan.write_text("" if plan is None else json.dumps(asdict(plan)), encoding="utf-8")

    def _deliver(self, body: JsonObject) -> None:
        status, text = self.call("POST", "/webhook/alertmanager", body, WEBHOOK_TOKEN)
        if status != 200:
            raise Stuck(f"an alert was answered with {status}: {text}")

    def _ready(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._once("GET", "/-/ready")[0] == 200
        return False

    def _once(self, method: str, path: str, body: object = None, token: str = TOKEN) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def _alert(playbook: str, item: str) -> JsonObject:
    return alert({"alertname": playbook, "item": item})


def _state(pid: int) -> str:
    """Return the state letter of a process, empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    letter = text.rpartition(")")[2].split()[0]
    return "" if letter in "ZX" else letter


def _alive(pid: int) -> bool:
    return _state(pid) not in {"", "T"}


async def _end_leases(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        # Not by its state: frozen between the two halves of a statement that is new to it, a session counts as active,
        # and no timeout of the server ends it.
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND xact_start IS NOT NULL AND wait_event = 'ClientRead'"
        )
        for queue in _QUEUES:
            await connection.execute(
                f"UPDATE {queue} SET lease_until = clock_timestamp() - interval '1 s' WHERE lease_until IS NOT NULL"  # noqa: S608
            )
    finally:
        await connection.close()


@contextlib.contextmanager
def victim(
    store: str,
    target_url: str,
    forks: Launcher,
    *,
    playbooks: Mapping[str, str] = PLAYBOOKS,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    **more: object,
) -> Iterator[Victim]:
    """Give a started responder over ``store``: ``sqlite`` for a file of its own, else the URL of a PostgreSQL.

    ``settings`` are joined with the keys of its configuration that are there, ``more`` take their place.
    """
    with private_directory("attack") as directory:
        url = f"sqlite:///{directory}/responder.db" if store == "sqlite" else store
        (directory / "playbooks").mkdir()
        (directory / "token").write_text(TOKEN, encoding="utf-8")
        (directory / "token").chmod(0o600)
        for name, text in playbooks.items():
            (directory / "playbooks" / name).write_text(text, encoding="utf-8")
        written = config(url, target_url, **more)
        written |= {key: {**written.get(key, {}), **value} for key, value in (settings or {}).items()}
        (directory / "responder.yml").write_text(json.dumps(written), encoding="utf-8")
        made = Victim(directory, url, forks)
        try:
            made.start()
            yield made
        finally:
            made.end()
