"""What the demonstration writes to the terminal: paced and coloured for people, plain for pipes."""

import asyncio
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_CLEAR_LINE = "\r\033[2K"
_BAR = 20
WIDEST = 110


class Screen:
    """Lines for reading; on a terminal also one line at the bottom that follows the service."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
        """``NO_COLOR`` (not empty) and ``TERM=dumb`` are respected; a pipe gets neither colours nor pauses."""
        self._stream = stream
        self._live = stream.isatty() and environment.get("TERM") != "dumb"
        self._coloured = self._live and not environment.get("NO_COLOR")
        self._status = ""
        self._kept: list[str] | None = None

    @property
    def width(self) -> int:
        """How many characters fit into a line, within reason."""
        return min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST) if self._live else WIDEST

    def line(self, text: str = "", style: str = "") -> None:
        """Write a line; the moving line stays below it."""
        self._write(f"{self._wipe()}{self.styled(text, style)}\n{self._status}")

    def aside(self, text: str) -> None:
        """Write a line that somebody else says; it waits while a command has the word."""
        if self._kept is None:
            self.line(f"  ▏ {text}".rstrip(), "dim")
        else:
            self._kept.append(text)

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Let no aside come between; those that came are written at the end."""
        self._kept = []
        try:
            yield
        finally:
            kept, self._kept = self._kept, None
            for text in kept:
                self.aside(text)

    def status(self, text: str) -> None:
        """Let the moving line say ``text``; a pipe never sees it."""
        if self._live:
            self._status = self.styled(text[: self.width - 1], "dim")
            self._write(f"{_CLEAR_LINE}{self._status}")

    def still(self) -> None:
        """Take the moving line away."""
        self._write(self._wipe())
        self._status = ""

    def title(self, text: str) -> None:
        """Begin a part of the story."""
        self.still()
        self.line()
        self.line(f"── {text} ".ljust(min(self.width, 90), "─"), "bold")

    async def pause(self, seconds: float) -> None:
        """Leave people the time to read; a pipe does not need it."""
        if self._live:
            await asyncio.sleep(seconds)

    def styled(self, text: str, style: str) -> str:
        """Return ``text`` in ``style`` where colours are wanted."""
        if not self._coloured or not style or not text:
            return text
        return f"\033[{_STYLES[style]}m{text}\033[0m"

    def _wipe(self) -> str:
        return _CLEAR_LINE if self._live and self._status else ""

    def _write(self, text: str) -> None:
        if text:
            self._stream.write(text)
            self._stream.flush()


def gauge(error_rate: float, workers: int, cache_megabytes: int) -> str:
    """Write how the service feels: a bar of failing requests and its settings."""
    full = round(error_rate * _BAR)
    bar = "█" * full + "·" * (_BAR - full)
    return f"checkout  {bar} {error_rate:4.0%} of requests fail   workers {workers}   cache {cache_megabytes} MB"
