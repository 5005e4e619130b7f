"""This process's own brakes (``ports.brakes.Brakes``): a file whose presence stops it, and its environment.

They work without the store and without the API: for the night when neither can be reached, or when whoever may mount a
file may not call it.
"""

import asyncio
import os
import stat
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from threading import Thread

from responder.domain.brakes import NOT_SAID, PAUSE_VARIABLE, SAID, Origin, read_brakes, unreadable
from responder.domain.limits import Pause

ANSWER_SECONDS = 0.4
"""A file that has not answered by then cannot be read: a mount that hangs must not let anything through."""
_MOST_BYTES = 16 * 1024


class OwnBrakes:
    """Looks at the file each time that it is asked, in a thread: a mount that hangs must not hold up the loop.

    There is never more than one thread for a file, and none keeps the process from its end.
    """

    def __init__(self, said: str = "", file: Path | None = None) -> None:
        """``said`` is what the environment says, read once; ``file`` may be changed by a reload."""
        self.file = file
        self._said = _of_environment(said)
        self._looking: tuple[Path, Future[tuple[Pause, ...]]] | None = None

    async def in_force(self) -> Sequence[Pause]:
        """Return what the environment said and what the file says now."""
        return self._said if self.file is None else (*self._said, *await self._of(self.file))

    async def _of(self, file: Path) -> tuple[Pause, ...]:
        if self._looking is None or self._looking[0] != file or self._looking[1].done():
            self._looking = file, _begin_to_look(file)
        looking = self._looking[1]
        # Unlike wait_for, this leaves the look alone when time is up: there is never more than one under way.
        await asyncio.wait({asyncio.wrap_future(looking)}, timeout=ANSWER_SECONDS)
        if not looking.done():
            return unreadable(f"no answer within {ANSWER_SECONDS:g} s", _origin(file, datetime.now(UTC)))
        return looking.result()


def _begin_to_look(file: Path) -> Future[tuple[Pause, ...]]:
    """Look at ``file`` in a thread of its own, which an executor would wait for at the end of the process."""
    looking: Future[tuple[Pause, ...]] = Future()
    looking.set_running_or_notify_cancel()  # from here on nobody who waits can take it back

    def look() -> None:
        try:
            looking.set_result(look_at(file))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            looking.set_exception(error)

    Thread(target=look, name="brake file", daemon=True).start()
    return looking


def _of_environment(said: str) -> tuple[Pause, ...]:
    word = said.strip().casefold()
    if word in NOT_SAID:
        return ()
    text = "" if word in SAID else said.replace(";", "\n")
    return read_brakes(text, Origin("environment", f"{PAUSE_VARIABLE} on {gethostname()}", datetime.now(UTC)))


def look_at(file: Path) -> tuple[Pause, ...]:
    """Return what ``file`` says; nothing when it is certainly not there."""
    try:
        # Without O_NONBLOCK to open a pipe waits for somebody who writes.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as handle:
            status = os.fstat(handle.fileno())
            if not stat.S_ISREG(status.st_mode):
                return unreadable("no regular file", _origin(file, datetime.now(UTC)))
            since = datetime.fromtimestamp(status.st_mtime, UTC)
            data = handle.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return _not_found(file)
    except OSError as error:
        return unreadable(error.strerror or str(error), _origin(file, datetime.now(UTC)))
    origin = _origin(file, since)
    if len(data) > _MOST_BYTES:
        return unreadable(f"longer than {_MOST_BYTES} bytes", origin)
    try:
        return read_brakes(data.decode("utf-8-sig"), origin)
    except UnicodeDecodeError:
        return unreadable("not UTF-8 text", origin)


def _not_found(file: Path) -> tuple[Pause, ...]:
    """Tell a file that is not there from one that nobody can tell about."""
    if not file.parent.is_dir():
        return unreadable(f"{file.parent} is no folder: was it mounted?", _origin(file, datetime.now(UTC)))
    if file.is_symlink():
        return unreadable("a link that leads nowhere", _origin(file, datetime.now(UTC)))
    return ()


def _origin(file: Path, since: datetime) -> Origin:
    return Origin("file", f"the file {file} on {gethostname()}", since)
