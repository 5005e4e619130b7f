"""The engine on both stores, against a target that keeps its own book."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.act_bed import Bed, open_bed
from tests.bed.stores import embedded
from tests.bed.target_peer import Target


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty store."""
    if request.param == "sqlite":
        return embedded(tmp_path / "responder.db")
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def bed(store_url: str, target: Target) -> AsyncIterator[Bed]:
    """Give an engine whose ``checkout`` is the target, with four workers."""
    target.resources["workers"] = {"workers": 4, "colour": "blue"}
    target.resources["cache"] = {"megabytes": 64}
    opened = await open_bed(store_url, target.url, secret="hunter2-secret")
    yield opened
    await opened.tools.close()
    await opened.store.close()
