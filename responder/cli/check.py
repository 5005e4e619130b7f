"""``responder check``: reads playbooks and says everything that is wrong with them. Needs no running responder."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from responder.cli.reports import FORMATS, count_errors
from responder.domain.errors import Complaint
from responder.playbook.library import SUFFIXES, Library, load_library
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
    of_settings: Callable[[Library], Sequence[Complaint]] = lambda _: (),
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Check the files and folders in ``paths``, print the findings and return the exit code.

    0: nothing but warnings; 1: errors; 2: called the wrong way.
    ``of_settings`` returns what is to be said of the configuration, given the playbooks.
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
    empty = [path for path in paths if not any(Path(file).is_relative_to(path) for file in library.files)]
    if empty:
        print(f"responder check: {_nothing_in(empty)}", file=err)
        return USAGE
    complaints = [
        *of_settings(library),
        *(complaint for found in library.complaints.values() for complaint in found),
    ]
    out.write(FORMATS[output](complaints, len(library.files)))
    return FINDINGS if count_errors(complaints) else OK


def _usage(missing: Sequence[Path]) -> str:
    if missing:
        return f"no such file or folder: {', '.join(str(path) for path in missing)}"
    return "name the playbooks or folders to check"


def _nothing_in(paths: Sequence[Path]) -> str:
    names = ", ".join(map(str, paths))
    read = f"files whose names end in {' or '.join(SUFFIXES)} are read, but for hidden ones and *.test{SUFFIXES[0]}"
    return f"there is no playbook in {names}: {read}"
