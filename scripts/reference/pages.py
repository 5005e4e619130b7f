"""All pages by their path."""

from collections.abc import Mapping
from pathlib import Path

from scripts.reference.catalogue import actions_page, probes_page
from scripts.reference.configuration import configuration_page
from scripts.reference.domain import errors_page, runs_page, verdicts_page
from scripts.reference.http_api import http_api_page
from scripts.reference.index import index_page
from scripts.reference.outside import command_line_page, metrics_page
from scripts.reference.playbook import playbook_page
from scripts.reference.promises import promises_page

ROOT = Path(__file__).parents[2]


def make_pages() -> Mapping[str, str]:
    """Return every page of the reference and the index, its path relative to the checkout."""
    found = {
        "playbook": playbook_page(),
        "actions": actions_page(),
        "probes": probes_page(),
        "configuration": configuration_page(),
        "command-line": command_line_page(),
        "http-api": http_api_page(),
        "verdicts": verdicts_page(),
        "runs": runs_page(),
        "metrics": metrics_page(),
        "errors": errors_page(),
        "promises": promises_page(),
        # Written by hand: which test holds which guard is nothing that the code could say.
        "safety": (ROOT / "docs" / "reference" / "safety.md").read_text(encoding="utf-8"),
    }
    pages = {f"docs/reference/{name}.md": text for name, text in found.items()}
    return {**pages, "docs/index.md": index_page(ROOT, pages)}
