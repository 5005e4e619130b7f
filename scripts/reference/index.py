"""The index of the documentation: the pages that there are, by folder."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.reference.markdown import page

FOLDERS = (
    ("", "Start here"),
    ("tutorial", "Learn"),
    ("how-to", "Do"),
    ("reference", "Look up"),
    ("decisions", "Why it is so"),
)


def index_page(root: Path, made: Mapping[str, str]) -> str:
    """Return the index of all pages below ``docs``; ``made`` are those that are being written, by path."""
    docs = root / "docs"
    titles = {path: _title(text) for path, text in made.items()}
    for file in docs.rglob("*.md"):
        path = str(file.relative_to(root))
        if path not in titles and path != "docs/index.md" and not path.startswith("docs/reference/"):
            titles[path] = _title(file.read_text(encoding="utf-8"))
    parts = [f"## {heading}\n\n{_list(folder, titles)}" for folder, heading in FOLDERS if _list(folder, titles)]
    return page(
        "Documentation",
        "An alert walks a straight line (intake, decide, act, tell), every step of it is durable before it happens, "
        "and everything that can be swapped is one small class in one folder.",
        *parts,
    )


def _title(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else "Untitled"


def _list(folder: str, titles: Mapping[str, str]) -> str:
    start = f"docs/{folder}/" if folder else "docs/"
    return "\n".join(_lines(start, titles))


def _lines(start: str, titles: Mapping[str, str]) -> Iterable[str]:
    for path, title in titles.items() if start == "docs/reference/" else sorted(titles.items(), key=_order):
        inside = path.removeprefix(start)
        if inside != path and (start != "docs/" or "/" not in inside):
            yield f"- [{title}]({path.removeprefix('docs/')})"


def _order(page_and_title: tuple[str, str]) -> tuple[bool, str]:
    """Put the tutorial before what explains how it is made."""
    path = page_and_title[0]
    return path != "docs/tutorial.md", path
