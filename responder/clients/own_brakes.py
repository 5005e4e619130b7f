"""This process's own brakes (``ports.brakes.Brakes``): a file whose presence stops it, and its environment.

They work without the store and without the API: for the night when neither can be reached, or when whoever may mount a
file may not call it.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname

from responder.domain.brakes import NOT_SAID, PAUSE_VARIABLE, SAID, Origin, read_brakes, unreadable
from responder.domain.limits import Pause

ANSWER_SECONDS = 0.4
"""A file that has not answered by then cannot be read: a mount that hangs must not let anything through."""
_MOST_BYTES = 16 * 1024


class OwnBrakes:
    """Looks at the file each time that it is asked, in a thread: a mount that hangs must not hold up the loop."""

    def __init__(self, said: str = "", file: Path | None = None) -> None:
        """``said`` is what the environment says, read once; ``file`` may be changed by a reload."""
        self.file = file
        self._said = _of_environment(said)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="brake file")
        self._looking: asyncio.Future[tuple[Pause, ...]] | None = None

    async def in_force(self) -> Sequence[Pause]:
        """Return what the environment said and what the file says now."""
        return self._said if self.file is None else (*self._said, *await self._of(self.file))

    async def _of(self, file: Path) -> tuple[Pause, ...]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().run_in_executor(self._thread, look_at, file)
        looking = self._looking
        # Unlike wait_for, this leaves the look alone when time is up: there is never more than one under way.
        await asyncio.wait({looking}, timeout=ANSWER_SECONDS)
        if not looking.done():
            return unreadable(f"no answer within {ANSWER_SECONDS:g} s", _origin(file, datetime.now(UTC)))
        return looking.result()


def _of_environment(said: str) -> tuple[Pause, ...]:
    word = said.strip().casefold()
    if word in NOT_SAID:
        return ()
    text = "" if word in SAID else said.replace(";", "\n")
    return read_brakes(text, Origin("environment", f"{PAUSE_VARIABLE} on {gethostname()}", datetime.now(UTC)))


def look_at(file: Path) -> tuple[Pause, ...]:
    """Return what ``file`` says; nothing when it is certainly not there."""
    try:
        with file.open("rb") as handle:
            since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
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
