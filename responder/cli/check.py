"""``responder check``: reads playbooks and says everything that is wrong with them. Needs no running responder."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from responder.cli.reports import FORMATS, count_errors
from responder.domain.errors import Complaint
from responder.playbook.library import load_library
from responder.playbook.names import Names
from responder.ports.catalogue import Catalogue

OK, FINDINGS, USAGE = 0, 1, 2


def run_check(
    paths: Sequence[Path],
    *,
    output: str = "text",
    syntax_only: bool = False,
    catalogue: Catalogue,
    names: Names | None = None,
    more: Sequence[Complaint] = (),
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Check the files and folders in ``paths``, print the findings and return the exit code.

    0: nothing but warnings; 1: errors; 2: called the wrong way.
    ``more`` is what is to be said of the configuration besides.
    ``output`` is text, json, github or sarif. With ``syntax_only`` or without ``names`` nothing is looked up in the
    configuration.
    """
    out, err = stdout or sys.stdout, stderr or sys.stderr
    if output not in FORMATS:
        print(f"responder check: there is no output format {output!r}; one of: {', '.join(FORMATS)}", file=err)
        return USAGE
    missing = [path for path in paths if not path.exists()]
    if missing or not paths:
        print(f"responder check: {_usage(missing)}", file=err)
        return USAGE
    library = load_library(paths, catalogue, None if syntax_only else names, {})
    complaints = [*more, *(complaint for found in library.complaints.values() for complaint in found)]
    out.write(FORMATS[output](complaints, len(library.files)))
    return FINDINGS if count_errors(complaints) else OK


def _usage(missing: Sequence[Path]) -> str:
    if missing:
        return f"no such file or folder: {', '.join(str(path) for path in missing)}"
    return "name the playbooks or folders to check"
