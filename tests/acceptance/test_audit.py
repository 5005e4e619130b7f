"""The audit log of a running responder, and what somebody with the store's file in hand does to it."""

import asyncio
import json
import sqlite3
from pathlib import Path

from tests.bed.waiting import eventually
from tests.process_bed import Responder, config, responder

OK, FINDINGS = 0, 1


def _sql(store: Path, statement: str) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute(statement)
    connection.close()


async def _sealed(running: Responder, entries: int) -> None:
    async def look() -> bool:
        found = await asyncio.to_thread(running.get, "audit/verify")
        return bool(found["entries"] >= entries and found["unsealed"] == 0 and found["heads"])

    await eventually(look)


async def test_an_audit_log_that_was_changed_or_cut_off_is_found_out() -> None:
    with responder({}, config("sqlite:///responder.db", "http://127.0.0.1:9")) as running:
        running.start()
        for reason in ("first", "second", "third"):
            assert running.cli("pause", "all", "--reason", reason).returncode == OK
            await _sealed(running, {"first": 1, "second": 2, "third": 3}[reason])
        well = running.cli("audit", "verify")
        assert (well.returncode, "3 entries in" in well.stdout) == (OK, True), well
        running.stop()
        heads = running.directory / "responder.db.heads.jsonl"
        assert json.loads(heads.read_text().splitlines()[-1])["segment"] == 3

        store = running.directory / "responder.db"
        kept = store.read_bytes()
        _sql(store, "UPDATE audit SET actor = 'nobody' WHERE seq = 1")
        running.start()
        changed = running.cli("audit", "verify")
        assert (changed.returncode, changed.stdout.splitlines()[0]) == (
            FINDINGS, "segment 1: what is there now is not what was sealed",
        )  # fmt: skip
        running.stop()

        for left in running.directory.glob("responder.db-*"):
            left.unlink()
        store.write_bytes(kept)
        _sql(store, "DELETE FROM audit WHERE seq = 3")
        _sql(store, "DELETE FROM audit_segments WHERE number = 3")
        running.start()
        cut = running.cli("audit", "verify")
        assert cut.returncode == FINDINGS
        assert cut.stdout.startswith("the log ends with segment 2; segment 3 was sealed at ")
