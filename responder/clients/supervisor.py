"""What is asked on the machine itself: it runs one command, and keeps the journal of what became of it.

A program of the standard library alone, for Python 3.9 or later: it is started as ``python -I -S supervisor.py``, or
its text is sent to another machine and run there. It gets one request as a line of JSON and answers with lines of JSON.

To run a command it says ``ready``, and begins at ``go``; if that does not come, it ends. The journal of a key is linked
into place before anything runs, under a lock that is held as long as this process lives: a second ``go`` for the same
key, however late, finds it there and runs nothing. Once begun it goes on by itself, whoever is gone by then.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

RECORD = "RESPONDER_RECORD"
"""The variable in which a command finds the key of its effect."""
USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PLACE = "place"
"""The file with the name of a folder of journals: a copy of the folder elsewhere is told by the host's name."""
GO_SECONDS = 10
"""How long the word to begin is waited for. It comes within a second of ``ready``, or from somebody long replaced."""
KEPT_SECONDS = 30 * 24 * 3600
"""How long the journals of what is over are kept."""
MOST_READ = 256 * 1024
SHORTEST_SECRET = 6
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


def place(folder: Path) -> str:
    """Return the name of this machine and of the folder, which gets one; raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / PLACE
    if not path.exists():
        draft = folder / f".draft-{secrets.token_hex(8)}"
        draft.write_text(secrets.token_hex(8), encoding="ascii")
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return f"{socket.gethostname()}/{path.read_text(encoding='ascii')}"


class Journal:
    """The file of a key, with the lock on it."""

    def __init__(self, path: Path) -> None:
        """Put it in its place; raises FileExistsError when the key is used already."""
        self._id = secrets.token_hex(8)
        draft = path.parent / f".draft-{self._id}"
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
        text = json.dumps({**what, "id": self._id}).encode()
        os.pwrite(self._handle, text, 0)
        os.ftruncate(self._handle, len(text))
        os.fsync(self._handle)

    def lead(self) -> None:
        """Note the process that calls this as the leader of the group: between fork and exec."""
        pid = os.getpid()
        self.write({"state": "begun", "at": time.time(), LEADER: pid, "started": started(pid)})


def journal_of(asked: dict[str, Any]) -> Path:
    """Return where the journal of a key is."""
    return Path(asked["journals"]) / f"{asked['key'].replace(':', '-')}.json"


def main() -> None:
    """Answer one request."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asked = json.loads(sys.stdin.readline())
    if asked["do"] == "run":
        supervise(asked)
    else:
        say(answer(asked))


def supervise(job: dict[str, Any]) -> None:
    """Run one job, once somebody says so."""
    here = named(job)
    if here.get("place") != job["place"]:
        say(elsewhere(here))
        return
    say({"state": "ready"})
    signal.alarm(GO_SECONDS)  # nobody handles it: it ends this process
    if sys.stdin.readline() != "go\n":
        return
    signal.alarm(0)
    path = journal_of(job)
    try:
        journal = Journal(path)
    except FileExistsError:
        say({"state": "spent"})
        return
    except OSError as error:
        say({"state": "refused", "error": f"{path}: {error.strerror}"})
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
    text = json.dumps(what).encode() + b"\n"
    with contextlib.suppress(OSError):
        while text:  # what is longer than a pipe has room for goes in parts
            text = text[os.write(1, text) :]


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Answer what is asked besides running a command: it changes nothing outside the folder of the journals."""
    try:
        return ANSWERS[asked["do"]](asked)
    except OSError as error:
        return {"state": "failed", "error": f"{error.filename or asked['journals']}: {error.strerror or error}"}


def named(asked: dict[str, Any]) -> dict[str, Any]:
    """Say which place this is."""
    try:
        return {"state": "place", "place": place(Path(asked["journals"]))}
    except OSError as error:
        why = f"its journals cannot be kept in {asked['journals']}: {error.strerror or error}"
        return {"state": "failed", "error": why}


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """Say what became of a key: ``no`` (never begun), ``running``, ``ended``, or ``unknown``."""
    here = named(asked)
    if here.get("place") != asked["place"]:
        return elsewhere(here)
    path = journal_of(asked)
    found = written(path)
    if found is None:
        return {"state": "no"}
    if found["state"] != "ended":
        if held(path):
            return {"state": "running"}
        found = written(path) or found  # it may have ended between the two looks
    return found if found["state"] == "ended" else left(asked, found)


def elsewhere(here: dict[str, Any]) -> dict[str, Any]:
    """Say that this is another place than the one that is meant, or why nobody can tell."""
    return {"state": "elsewhere"} if here["state"] == "place" else here


def left(asked: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Look after what a supervisor that was killed has left."""
    if LEADER not in found:
        retire({**asked, "id": found.get("id")})  # nothing had been started
        return {"state": "no"}
    if alive(found[LEADER], found["started"]):
        if time.time() < found["at"] + asked["seconds"] + GRACE_SECONDS:
            return {"state": "running"}
        with contextlib.suppress(ProcessLookupError):
            os.killpg(found[LEADER], signal.SIGKILL)
    return {"state": "unknown", "id": found.get("id")}


def written(path: Path) -> dict[str, Any] | None:
    """Read a journal; None when there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"state": "begun", LEADER: 0, "started": 0, "at": 0}  # cut off while it was written
    return found


def held(path: Path) -> bool:
    """Say whether the supervisor of a key lives: it has the lock."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def retire(asked: dict[str, Any]) -> dict[str, Any]:
    """Let a key be used again; what is known of its first use stays beside it. And forget what is long over.

    Only the use that was looked at is put aside: somebody else may have done so, and used the key again since.
    """
    path = journal_of(asked)
    with (path.parent / PLACE).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = written(path)
        if found is not None and found.get("id") == asked["id"]:
            path.rename(path.with_suffix(f".{time.time_ns()}"))
    for old in path.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if old.name != PLACE and old.stat().st_mtime < time.time() - KEPT_SECONDS:
                old.unlink()
    return {"state": "no"}


def read_only(asked: dict[str, Any]) -> dict[str, Any]:
    """Run something that changes nothing."""
    try:
        process = begin(asked)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        return {"state": "absent", "error": f"{asked['argv'][0]} could not be started: {error}"}
    ended = finish(process, asked)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return {"state": "read", **ended}


def examine(asked: dict[str, Any]) -> dict[str, Any]:
    """Say what would keep commands from running here, by name; runs and makes nothing."""
    folder = Path(asked["journals"])
    there = next(one for one in (folder, *folder.parents) if one.exists())
    wrong = {name: problem(command) for name, command in asked["commands"].items()}
    journals = "" if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else f"nothing can be written in {folder}"
    return {"state": "examined", "journals": journals, "commands": wrong, "python": platform.python_version()}


def problem(command: dict[str, Any]) -> str:
    """Return why a command cannot be run here; empty when it can."""
    for program in command["programs"]:
        if not os.access(program, os.X_OK):
            return f"{program} is not a program that can be run here"
    if command["user"]:
        try:
            number = pwd.getpwnam(command["user"]).pw_uid
        except KeyError:
            return f"there is no user {command['user']} here"
        if os.geteuid() not in (0, number):
            return f"only root can run something as {command['user']}"
    return "" if Path(command["folder"]).is_dir() else f"its folder {command['folder']} is not there"


ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "place": named,
    "look": look,
    "retire": retire,
    "read": read_only,
    "examine": examine,
}


def environment(job: dict[str, Any]) -> dict[str, str]:
    """Return what of our own environment a command sees, and the key of its effect."""
    passed = {name: os.environ[name] for name in job["environment"] if name in os.environ}
    return {"PATH": USUAL_PATH, **passed, **({RECORD: job["key"]} if job["key"] else {})}


def begin(job: dict[str, Any], **more: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 -- Popen's own
    """Start a command in a process group of its own; raises OSError, SubprocessError, KeyError for an unknown user."""
    return subprocess.Popen(  # noqa: S603 - what the configuration names, and without a shell
        job["argv"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=job["folder"],
        env=environment(job),
        start_new_session=True,
        **user_of(job["user"]),
        **more,
    )


def run(job: dict[str, Any], journal: Journal) -> dict[str, Any]:
    """Run the command to its end, or end it; return its exit code (None: it has none) and what it said."""
    try:
        process = begin(job, preexec_fn=journal.lead)  # there is one thread yet
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        return {"code": None, "said": "", "error": f"it could not be started: {error}", "ran": False}
    return finish(process, job)


def finish(process: subprocess.Popen[bytes], job: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of a command, or end it when its time is up."""
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
    return {"code": code, "said": masked(job, bytes(said)), "error": why, "ran": True}


def masked(job: dict[str, Any], said: bytes) -> str:
    """Return what a command has said, without the values that it alone was given."""
    values = [os.environ.get(name, "") for name in job["hidden"]]
    hidden = [one for one in values if len(one) >= SHORTEST_SECRET]
    text = said.decode(errors="replace")
    for value in hidden:
        text = text.replace(value, "<secret>")
    if len(said) < job["output"]:
        return text
    longest = max((len(one) for one in hidden), default=1)
    return text[: len(text) - longest + 1]  # the last one may have been cut in two


def read(pipe: IO[bytes], said: bytearray, most: int) -> None:
    """Keep the beginning of what is said; the rest is read and forgotten, so that nobody waits for room."""
    with pipe:
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
