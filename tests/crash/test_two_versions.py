"""An older and a newer responder over one PostgreSQL: the newer one is this one with a migration and a format more."""

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from responder.domain.runs import FORMAT
from responder.stores.core import migrate
from tests.bed.alerts import alert, webhook
from tests.bed.playbooks import change_item
from tests.bed.target_process import TargetProcess
from tests.bed.waiting import eventually
from tests.bed.web import JsonObject
from tests.process_bed import ROOT, Responder, config, responder

_MIGRATION = f'''
"""Something that the older version does not know.

Revision: 9000
"""

import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{migrate.head()}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column that is never empty, and an index."""
    op.add_column("runs", sa.Column("mood", sa.Text(), nullable=False, server_default="calm"))
    op.create_index("ix_runs_mood", "runs", ["mood"])
'''
_PLAYBOOKS = {
    "kept.yaml": change_item("kept"),
    "patient.yaml": change_item("patient", wanted=99, within="20s"),  # looks every second
}


@pytest.fixture
def newer_program(tmp_path: Path) -> Path:
    """Give the folder of a program that is one migration and one format ahead of this one."""
    package = tmp_path / "responder"
    shutil.copytree(ROOT / "responder", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "stores" / "migrations" / "versions" / "9000_moods.py").write_text(_MIGRATION, encoding="utf-8")
    domain = package / "domain" / "runs.py"
    text, changed = re.subn(
        rf"^FORMAT = {FORMAT}$", f"FORMAT = {FORMAT + 1}", domain.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert changed == 1
    domain.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def older(postgres_url: str, target_process: TargetProcess) -> Iterator[Responder]:
    with responder(_PLAYBOOKS, config(postgres_url, target_process.url), "older") as one:
        yield one


@pytest.fixture
def newer(postgres_url: str, target_process: TargetProcess, newer_program: Path) -> Iterator[Responder]:
    with responder(_PLAYBOOKS, config(postgres_url, target_process.url), "newer") as one:
        one.environment = {"PYTHONPATH": str(newer_program)}
        yield one


def _fire(at: Responder, playbook: str, item: str, target: TargetProcess) -> None:
    target._send("PUT", f"/admin/{item}", {"workers": 4})
    at.deliver(webhook([alert({"alertname": playbook, "item": item})], group_by=["item"]))


def _run(at: Responder, item: str) -> JsonObject:
    found = at.items(f"runs?target=http/checkout/{item}")
    return found[0] if found else {"state": "none"}


async def _reaches(at: Responder, item: str, state: str) -> None:
    await eventually(lambda: _run(at, item)["state"] == state)


async def test_an_older_replica_goes_on_beside_a_newer_one_and_leaves_it_what_is_its(
    older: Responder, newer: Responder, target_process: TargetProcess
) -> None:
    older.start()
    newer.start()
    _fire(older, "kept", "while-migrated", target_process)
    await _reaches(older, "while-migrated", "verified")

    older.kill()
    _fire(newer, "patient", "theirs", target_process)
    await _reaches(newer, "theirs", "verifying")
    older.start()  # on a schema that it does not know
    newer.kill()
    _fire(older, "kept", "ours", target_process)
    await _reaches(older, "ours", "verified")
    seen = _run(older, "theirs")
    _fire(older, "kept", "ours-too", target_process)
    await _reaches(older, "ours-too", "verified")
    for_long_due = datetime.fromisoformat(str(seen["due_at"])) + timedelta(seconds=3)
    await eventually(lambda: datetime.now(UTC) >= for_long_due)
    assert _run(older, "theirs") == seen, "it was left alone, though it is due"
    assert older.call("POST", f"/api/v1/runs/{seen['id']}/stop")[0] == 503, "only a newer one may answer for it"

    newer.start()
    assert newer.call("POST", f"/api/v1/runs/{seen['id']}/stop", {})[0] in (200, 202)
    await _reaches(newer, "theirs", "rolled_back")
    effects = [entry.key for entry in target_process.entries() if entry.applied and entry.key]
    assert len(effects) == len(set(effects)) == 5
