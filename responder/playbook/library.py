"""All playbooks of the configured folders, as one snapshot that is swapped as a whole.

Each file stands alone: what is wrong in one leaves the others as they are, and its last good version keeps running.
"""

import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from responder.domain.errors import Complaint, PlaybookError
from responder.domain.modes import Mode
from responder.language.index import MatcherIndex
from responder.language.yaml_builder import MAX_BYTES
from responder.playbook.apart import apart
from responder.playbook.model import Playbook
from responder.playbook.names import Names
from responder.playbook.schema import examine, load_playbook, name_place
from responder.ports.catalogue import Catalogue

SUFFIXES = (".yaml", ".yml")
_MISSING, _UNREADABLE = "missing-folder", "unreadable"


@dataclass(frozen=True, slots=True)
class Library:
    """An immutable snapshot of the playbooks.

    ``files`` are those that were read. ``complaints`` holds what was found in each file, warnings included; a file in
    ``stale`` is wrong, and its last good version is among ``playbooks``.
    """

    playbooks: Mapping[str, Playbook]
    complaints: Mapping[str, tuple[Complaint, ...]]
    files: tuple[str, ...]
    stale: frozenset[str]
    index: MatcherIndex[Playbook] = field(repr=False)

    def candidates(self, labels: Mapping[str, str]) -> list[Playbook]:
        """Return the playbooks whose matchers fit ``labels``, in the order in which they are tried."""
        return self.index.find(labels)

    @property
    def modes(self) -> Mapping[str, Mode]:
        """The mode of each playbook that has steps: what only tells does not act, whatever its mode."""
        return {playbook.name: playbook.mode for playbook in self.playbooks.values() if playbook.steps}

    @property
    def looks_back(self) -> Mapping[str, timedelta]:
        """How far back the limits of each playbook that has steps look."""
        return {one.name: one.limits.looks_back for one in self.playbooks.values() if one.steps}

    @property
    def errors(self) -> Mapping[str, int]:
        """How many errors each file has, files without any left out."""
        counts = {
            file: sum(complaint.severity == "error" for complaint in found) for file, found in self.complaints.items()
        }
        return {file: count for file, count in counts.items() if count}


def load_library(
    folders: Iterable[Path],
    catalogue: Catalogue,
    names: Names | None,
    last_good: Mapping[str, tuple[str, str]],
    used: Collection[str] = (),
) -> Library:
    """Read every playbook below ``folders`` (a file stands for itself); never raises for what is in them.

    ``last_good`` maps a file to the (revision, text) that was used last, and steps in where the file is wrong now.
    ``used`` are the files in use: those below a folder that cannot be read, or is not there, stay in use as well.
    """
    complaints: dict[str, tuple[Complaint, ...]] = {}
    files: list[str] = []
    good: dict[str, Playbook] = {}
    for path, problem in _find(folders, used):
        file = str(path)
        if file in files:
            continue
        files.append(file)
        playbook, found = (None, (problem,)) if problem else _read(path, catalogue, names)
        if found:
            complaints[file] = found
        if playbook:
            good[file] = playbook
    lost = [Path(file) for file in files if _is_lost(complaints.get(file, ()))]
    files += [one for one in used if one not in files and any(_below(folder, (one,)) for folder in lost)]
    _refuse_duplicates(good, complaints)
    for file, warning in apart(good):
        complaints[file] = (*complaints.get(file, ()), warning)
    names_taken = {playbook.name for playbook in good.values()}
    fallbacks = _last_good([file for file in files if file not in good], catalogue, names, last_good, names_taken)
    ordered = sorted((*good.values(), *fallbacks.values()), key=lambda playbook: playbook.order)
    # The index answers in the order of its entries.
    index = MatcherIndex((playbook, playbook.alternatives) for playbook in ordered)
    by_name = {playbook.name: playbook for playbook in ordered}
    return Library(by_name, complaints, tuple(files), frozenset(fallbacks), index)


def _find(folders: Iterable[Path], used: Collection[str]) -> Iterator[tuple[Path, Complaint | None]]:
    """Go through the playbook files in order; what cannot be listed comes with a complaint."""
    for folder in folders:
        try:
            is_folder = stat.S_ISDIR(folder.stat().st_mode)
        except FileNotFoundError:
            yield folder, _complaint(folder, "there is no such file or folder", _MISSING)
            continue
        except OSError as error:
            yield folder, _complaint(folder, _reason(error), _UNREADABLE)
            continue
        if not is_folder:
            if _is_playbook(folder.name):
                yield folder, None
            elif _below(folder, used):
                yield folder, _complaint(folder, f"this is no folder, and no {' or '.join(SUFFIXES)} file", _MISSING)
            continue
        problems: list[OSError] = []
        for parent, folder_names, file_names in os.walk(folder, onerror=problems.append):
            folder_names[:] = sorted(name for name in folder_names if not name.startswith("."))
            yield from ((Path(parent, name), None) for name in sorted(file_names) if _is_playbook(name))
        for problem in problems:
            yield Path(problem.filename), _complaint(problem.filename, _reason(problem), _UNREADABLE)


def _below(folder: Path, files: Iterable[str]) -> bool:
    return any(Path(file).is_relative_to(folder) for file in files)


def _is_lost(found: Sequence[Complaint]) -> bool:
    """Say whether nobody can tell what is below a path: what was in use there may be so still."""
    return any(complaint.rule in (_MISSING, _UNREADABLE) for complaint in found)


def _is_playbook(name: str) -> bool:
    """Say whether a file's name is that of a playbook: not hidden, not a ConfigMap's ``..data``, not a test."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    return suffix in SUFFIXES and not name.startswith(".") and not stem.endswith(".test")


def _read(path: Path, catalogue: Catalogue, names: Names | None) -> tuple[Playbook | None, tuple[Complaint, ...]]:
    try:
        if not path.is_file():
            return None, (_complaint(path, "this is not a regular file", _UNREADABLE),)
        with path.open("rb") as stream:
            # One byte more than may be, so that a larger file is recognised and not read.
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return None, (_complaint(path, _reason(error), _UNREADABLE),)
    return examine(data, str(path), catalogue, names)


def _reason(error: OSError) -> str:
    return f"it cannot be read: {error.strerror or error}"


def _complaint(path: Path | str, message: str, rule: str) -> Complaint:
    return Complaint(str(path), 0, 0, message, rule)


def _refuse_duplicates(good: dict[str, Playbook], complaints: dict[str, tuple[Complaint, ...]]) -> None:
    """Take out every playbook whose name another file has as well: nobody can say which one is meant."""
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for file, playbook in good.items():
        by_name[playbook.name].append(file)
    for name, files in by_name.items():
        if len(files) < 2:  # noqa: PLR2004 - it takes two to be duplicates
            continue
        places = {file: name_place(good[file]) for file in files}
        for file in files:
            others = ", ".join(
                f"{other}:{places[other].line}:{places[other].column}" for other in files if other != file
            )
            message = f'the name "{name}" is also used at {others}'
            complaint = replace(places[file], message=message, rule="duplicate-name", hint="give each playbook its own")
            complaints[file] = (complaint, *complaints.get(file, ()))
            del good[file]


def _last_good(
    files: Sequence[str],
    catalogue: Catalogue,
    names: Names | None,
    last_good: Mapping[str, tuple[str, str]],
    taken: set[str],
) -> Mapping[str, Playbook]:
    """Return the last good versions of ``files`` that can still be used; a name that is taken stays with its owner."""
    found: dict[str, Playbook] = {}
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for file in files:
        if file not in last_good:
            continue
        try:
            playbook = load_playbook(last_good[file][1], file, catalogue, names)
        except PlaybookError:
            # The configuration may no longer offer what it names; the complaints about the file stand already.
            continue
        if playbook.name not in taken:
            found[file] = playbook
            by_name[playbook.name].append(file)
    return {file: playbook for file, playbook in found.items() if len(by_name[playbook.name]) == 1}
