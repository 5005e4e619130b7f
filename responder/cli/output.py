"""Output: plain tables for people, JSON and YAML for programs; data on stdout only."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from pydantic import JsonValue

from responder.cli.client import fail
from responder.domain.images import event

FORMATS = ("table", "json", "jsonl", "yaml", "name")
CELL, LAST_CELL = 80, 400
"""Characters of a cell in a table: one target of 10 kB must not make every row as wide. Reasons come last."""
GAP, INDENT = "  ", "    "
LEAST_LAST = 40
"""With less room than this, the last column goes to lines of its own."""
NOT_MADE = frozenset({"planned", "intended", "not_applied", "uncertain"})
"""States of a step of which nobody may say that it has happened."""
NOTHING = "–"
"""Stands for a value that is not there."""
Row = Mapping[str, object]


def show(rows: Iterable[Row], columns: Sequence[str], output: str, empty: str) -> None:
    """Print ``rows``; ``columns`` are for the table, ``empty`` says on stderr that there is nothing."""
    if output not in FORMATS:
        fail(f"-o {output!r} is not known; one of: {', '.join(FORMATS)}")
    if output == "jsonl":
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    found = list(rows)
    if output == "json":
        print(json.dumps(found, ensure_ascii=False, indent=2))
    elif output == "yaml":
        import yaml

        print(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), end="")
    elif output == "name":
        for row in found:
            print(row.get("id") or row.get("name"))
    elif found:
        print(table(found, columns, _width()))
    else:
        print(empty, file=sys.stderr)


def table(rows: Sequence[Row], columns: Sequence[str], width: int = 0) -> str:
    """Return a table with a heading and two spaces between the columns.

    A cell keeps its beginning and its end where it is too long for a table; lines longer than ``width`` (0: any) are
    cut. Whoever needs all of a value asks for another format.
    """
    cells = [[column.replace("_", " ").upper() for column in columns]]
    bounds = [CELL] * (len(columns) - 1) + [LAST_CELL]
    cells += [
        [shortened(plain(row.get(column)), most) for column, most in zip(columns, bounds, strict=True)] for row in rows
    ]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    room = width - sum(wide + len(GAP) for wide in widths[:-1])
    below = width > 0 and room < min(LEAST_LAST, widths[-1])
    lines = [line for row in cells for line in _lines(row, widths, below=below and row is not cells[0])]
    return "\n".join(f"{line[: width - 1]}…" if 0 < width < len(line) else line for line in lines)


def _lines(row: Sequence[str], widths: Sequence[int], *, below: bool) -> Sequence[str]:
    """Return a row's line; ``below`` gives its last cell a line of its own, where nothing else takes the room."""
    *start, last = row
    padded = [text.ljust(wide) for text, wide in zip(start, widths, strict=False)]
    if below and last:
        return [GAP.join(padded).rstrip(), f"{INDENT}{last}"]
    return [GAP.join([*padded, last]).rstrip()]


def shortened(text: str, most: int) -> str:
    """Return ``text`` with an ellipsis for its middle when it is longer than ``most`` characters."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def _width() -> int:
    """Return how wide the terminal is; a pipe takes lines of any length, unless COLUMNS says otherwise."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size().columns
    return 0


def plain(value: object) -> str:
    """Return one cell: no line breaks or control characters, instants short."""
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    moment = instant(text)
    if moment is not None:
        return moment.strftime("%Y-%m-%d %H:%M:%S")
    return "".join(letter if letter.isprintable() else " " for letter in text)


def instant(text: str) -> datetime | None:
    """Read an RFC 3339 instant; None for anything else."""
    if len(text) < 19 or text[4:5] != "-" or "T" not in text:  # noqa: PLR2004 - the shortest instant
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None


def clock(text: object) -> str:
    """Return the time of day of an instant, or blanks."""
    moment = instant(str(text))
    return moment.strftime("%H:%M:%S") if moment else " " * 8


def change(step: Mapping[str, object]) -> str:
    """Write a step's before → after: ``workers: 4 → 6``; what leaves no state as what it is."""
    before, after = cast("JsonValue", step.get("before")), cast("JsonValue", step.get("after"))
    happened = event(before, after, done=step.get("state", "planned") not in NOT_MADE)
    if happened:
        return plain(happened)
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in after if before.get(key) != after[key]] or list(after)
        return plain(", ".join(f"{key}: {_value(before.get(key))} → {_value(after[key])}" for key in keys))
    if before is None:  # a step between changes has nothing before it, and says what it does
        return "" if after is None else plain(_value(after))
    return "" if after is None else plain(f"{_value(before)} → {_value(after)}")


def _value(value: JsonValue) -> str:
    """Write a value as playbooks and messages do: ``true``, and a dash for what is not there."""
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def why(step: Mapping[str, object], said: object) -> str:
    """Write what there is to say of a step, unless the run has ``said`` it already."""
    message = str(step.get("message") or "")
    return "" if not message or message in str(said) else f": {plain(message)}"
