"""The shelf: the playbooks in use now, and every pinned text that an unfinished run still needs."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from responder.domain.runs import Run
from responder.playbook.library import Library, load_library
from responder.playbook.model import Playbook
from responder.playbook.names import Names
from responder.playbook.schema import load_playbook
from responder.ports.catalogue import Catalogue
from responder.ports.store import Housekeeping, RunStore

PINNED = 512
"""How many pinned texts are kept parsed."""
EMPTY = load_library((), Catalogue({}, {}), None, {})


class Shelf:
    """Holds the current library; ``load`` swaps it as a whole."""

    def __init__(self, catalogue: Catalogue, store: Housekeeping, texts: RunStore) -> None:
        """Start empty; ``store`` and ``texts`` keep and give back the texts that runs are pinned to."""
        self._catalogue = catalogue
        self._store = store
        self._texts = texts
        self._pinned: dict[str, Playbook | None] = {}
        self.library: Library = EMPTY

    async def load(self, folders: Sequence[Path], names: Names) -> Library:
        """Read the folders, keep what is good and put it to use; a file in error keeps its last good version."""
        last_good = await self._store.last_good()
        library = await asyncio.to_thread(load_library, folders, self._catalogue, names, last_good, self._in_use())
        for playbook in library.playbooks.values():
            kept = last_good.get(playbook.file)
            if kept is None or kept[0] != playbook.revision:
                await self._store.keep_playbook(playbook.name, playbook.revision, playbook.file, playbook.text)
        self.library = library
        return library

    def _in_use(self) -> Sequence[str]:
        """Return the files whose playbooks are in use now; a start knows none."""
        return [playbook.file for playbook in self.library.playbooks.values()]

    def known(self, name: str, revision: str = "") -> Playbook | None:
        """Return a playbook that is at hand: the pinned text of ``revision``, else the version in use now."""
        current = self.library.playbooks.get(name)
        if current is not None and current.revision == revision:
            return current
        return self._pinned.get(revision) or current

    async def of(self, run: Run) -> Playbook | None:
        """Return the playbook that a run is pinned to, whatever the files say by now; None when its text is gone.

        Raises PlaybookError when this program cannot carry it out: an older one wrote it, or a newer one.
        """
        current = self.library.playbooks.get(run.playbook)
        if current is not None and current.revision == run.revision:
            return current
        if run.revision not in self._pinned:
            if len(self._pinned) >= PINNED:
                self._pinned.clear()
            self._pinned[run.revision] = await self._read(run.revision)
        return self._pinned[run.revision]

    async def _read(self, revision: str) -> Playbook | None:
        kept = await self._texts.playbook_text(revision)
        return None if kept is None else load_playbook(kept[1], kept[0], self._catalogue, None)


def fingerprint(folders: Sequence[Path], also: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file of the configuration does: names, sizes, times of change."""
    seen: list[tuple[str, int, int]] = []
    for path in (*(path for folder in folders for path in _below(folder)), *also):
        try:
            status = path.stat()
        except OSError:
            continue
        seen.append((str(path), status.st_size, status.st_mtime_ns))
    return tuple(seen)


def _below(folder: Path) -> Sequence[Path]:
    try:
        if not folder.is_dir():
            return [folder]
        return sorted(folder.rglob("*.y*ml"))
    except OSError:
        # It may not be looked at, or went away meanwhile, as when a ConfigMap is swapped; the next look sees the rest.
        return []
