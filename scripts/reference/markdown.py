"""Markdown: headings, tables and what has to be escaped in them."""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence

_COMMENT = re.compile(r"^    # (.+)$")
MADE = "<!-- Made from the code by `make docs`; edit the code instead. -->"


def page(title: str, *parts: str) -> str:
    """Return a page: its title, the note that it is made, and its parts with empty lines between."""
    return "\n\n".join([f"# {title}", MADE, *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a column that is empty in every row is left out, and a table without rows is empty."""
    found = [list(row) for row in rows]
    if not found:
        return ""
    used = [place for place in range(len(heads)) if any(row[place] for row in found)]
    lines = [[heads[place] for place in used], ["---"] * len(used)]
    lines += [[cell(row[place]) for place in used] for row in found]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Return a text as it may stand in a table: on one line, its bars escaped."""
    return re.sub(r"\s*\n\s*", " ", text.strip()).replace("|", "\\|")


def code(text: object) -> str:
    """Return a text as code; the empty text stays empty."""
    return f"`{text}`" if str(text) else ""


def block(text: str, language: str = "") -> str:
    """Return a block of code."""
    return f"```{language}\n{text.strip(chr(10))}\n```"


def prose(thing: object) -> str:
    """Return a docstring as Markdown: double back-ticks and roles become plain code."""
    text = inspect.getdoc(thing) or ""
    text = re.sub(r":[a-z]+:`~?([^`]+)`", lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


def summary(thing: object) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join(prose(thing).partition("\n\n")[0].split())


def sentence(text: str) -> str:
    """Return a remark of the code as a sentence: a capital first, a full stop last."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


def groups(source: str, member: re.Pattern[str]) -> Iterator[tuple[str, list[str]]]:
    """Go through the members of a table in source code by the comments that stand above them."""
    title, names = "", list[str]()
    for line in source.splitlines():
        comment, found = _COMMENT.match(line), member.match(line)
        if found:
            names.append(found[1])
        elif comment:
            if names:
                yield title, names
            title, names = comment[1].rstrip("."), []
    yield title, names
