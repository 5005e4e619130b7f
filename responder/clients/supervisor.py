"""Runs one command and writes down what became of it, also when whoever asked for it is gone by then.

A program of its own, of the standard library only: ``python -I -S supervisor.py`` with a socket as standard input and
output. It gets the job as a line of JSON, says ``ready``, and begins at ``go``; if that never comes, it ends. The
journal of a key is linked into place before anything runs, under a lock that is held as long as this process lives: a
second ``go`` for the same key, however late, finds it there and runs nothing.
"""

import contextlib
import fcntl
import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

GRACE_SECONDS = 2.0
"""Between SIGTERM and SIGKILL for the process group of a command that takes too long."""
AFTER_SECONDS = 0.3
"""How long the rest of the output is waited for: what a command leaves behind may hold on to it."""
LEADER = "leader"
_STATE, _GROUP, _START_TIME = 0, 2, 19
"""Of the fields of /proc/PID/stat behind the name (proc(5): fields 3, 5 and 22)."""


def started(pid: int) -> int | None:
    """Return when a process began, in ticks since the boot; None when there is none."""
    fields = _fields(pid)
    return int(fields[_START_TIME]) if fields else None


def alive(leader: int, began: int | None) -> bool:
    """Say whether anything of a process group lives; its number is nobody else's as long as that is so."""
    now = started(leader)
    if now is not None and now != began:
        return False
    processes = (_fields(int(one.name)) for one in Path("/proc").iterdir() if one.name.isdigit())
    return any(one and one[_GROUP] == str(leader) and one[_STATE] not in "ZX" for one in processes)


def _fields(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


class Journal:
    """The file of a key, with the lock on it."""

    def __init__(self, path: Path) -> None:
        """Put it in its place; raises FileExistsError when the key is used already."""
        draft = path.parent / f".draft-{os.getpid()}-{time.time_ns()}"
        self._handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            self.write({"state": "begun", "at": time.time()})
            os.link(draft, path)
        finally:
            draft.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def write(self, what: dict[str, Any]) -> None:
        """Write what is so now."""
        text = json.dumps(what).encode()
        os.pwrite(self._handle, text, 0)
        os.ftruncate(self._handle, len(text))
        os.fsync(self._handle)

    def lead(self) -> None:
        """Note the process that calls this as the leader of the group: between fork and exec."""
        pid = os.getpid()
        self.write({"state": "begun", "at": time.time(), LEADER: pid, "started": started(pid)})


def main() -> None:
    """Run one job."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asking = sys.stdin
    job = json.loads(asking.readline())
    say({"state": "ready"})
    if asking.readline() != "go\n":
        return
    try:
        journal = Journal(Path(job["journal"]))
    except FileExistsError:
        say({"state": "spent"})
        return
    except OSError as error:
        say({"state": "refused", "error": f"{job['journal']}: {error.strerror}"})
        return
    if os.fork():  # who has asked waits for this one; the other goes on by itself
        os._exit(0)
    os.setsid()
    say({"state": "begun"})
    ended = {"state": "ended", **run(job, journal)}
    journal.write(ended)
    say(ended)


def say(what: dict[str, Any]) -> None:
    """Tell whoever has asked, if they are still there."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(what).encode() + b"\n")


def run(job: dict[str, Any], journal: Journal) -> dict[str, Any]:
    """Run the command to its end, or end it; return its exit code (None: it has none) and what it said."""
    try:
        process = subprocess.Popen(  # noqa: S603 - what the configuration names, and without a shell
            job["argv"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=job["folder"],
            env=job["environment"],
            start_new_session=True,
            preexec_fn=journal.lead,  # noqa: PLW1509 - there is one thread yet
            **user_of(job["user"]),
        )
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        return {"code": None, "said": "", "error": f"it could not be started: {error}", "ran": False}
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    said = bytearray()
    reader = threading.Thread(target=read, args=(process.stdout, said, job["output"]), daemon=True)
    reader.start()
    why = ""
    try:
        process.wait(job["seconds"])
    except subprocess.TimeoutExpired:
        why = f"it took longer than {job['seconds']:g} s and was ended"
        end(process)
    reader.join(AFTER_SECONDS)
    if not why and process.returncode < 0:
        why = f"it was ended by signal {-process.returncode}"
    code = None if why else process.returncode
    return {"code": code, "said": bytes(said).decode(errors="replace"), "error": why, "ran": True}


def read(pipe: IO[bytes], said: bytearray, most: int) -> None:
    """Keep the beginning of what is said; the rest is read and forgotten, so that nobody waits for room."""
    while chunk := os.read(pipe.fileno(), 65_536):
        said += chunk[: max(0, most - len(said))]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process group: asked first, then forced."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def user_of(name: str) -> dict[str, Any]:
    """Return how a process is started as ``name``; empty is whoever this is. Raises KeyError for nobody known."""
    if not name:
        return {}
    user = pwd.getpwnam(name)
    if user.pw_uid == os.geteuid():
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": os.getgrouplist(name, user.pw_gid)}


if __name__ == "__main__":
    main()
