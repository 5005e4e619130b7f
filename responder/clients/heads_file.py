"""The heads of the audit log's segments in a file of JSON lines, to which is only ever added."""

import asyncio
import errno
import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from responder.domain.seals import Head

_A_LINE = 4096
"""Bytes that hold the last line whole."""


class HeadsFile:
    """One process's file. Where it is copied to is somebody else's business: the further away, the better."""

    def __init__(self, path: Path) -> None:
        """Use the file at ``path``; it is made when there is something to write."""
        self.path = path
        self._last: Head | None = None

    async def keep(self, head: Head) -> None:
        """Add a head, unless it is the one that was added last."""
        if self._last is None:
            self._last = await asyncio.to_thread(self._newest)
        if head != self._last:
            await asyncio.to_thread(self._add, head)
            self._last = head

    async def kept(self) -> Sequence[Head]:
        """Return every head in the file, in its order."""
        return await asyncio.to_thread(self._read)

    def _newest(self) -> Head | None:
        """Read the last line only: the file grows for as long as the log is kept."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - _A_LINE, 0))
                lines = file.read().decode(errors="replace").splitlines()
            return _head(lines[-1], len(lines)) if lines else None
        except (FileNotFoundError, ValueError):
            return None  # what cannot be read is for verifying to say; here it must not keep heads from being added

    def _add(self, head: Head) -> None:
        """Add a line, or nothing: on a full disk a part of one would make a riddle of those behind it."""
        line = {"segment": head.number, "hash": head.hash, "sealed_at": head.sealed_at.isoformat()}
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            wanted = b"\n" * torn + json.dumps(line).encode() + b"\n"
            if os.write(handle, wanted) < len(wanted):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(handle)
        finally:
            os.close(handle)

    def _read(self) -> Sequence[Head]:
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [_head(line, place) for place, line in enumerate(lines, 1) if line.strip()]


def _head(line: str, place: int) -> Head:
    try:
        found = json.loads(line)
        return Head(int(found["segment"]), str(found["hash"]), datetime.fromisoformat(found["sealed_at"]))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"line {place} is no head of a segment"
        raise ValueError(msg) from error
