"""Stands in for systemctl, of which only `show` and `restart` are known, as systemctl(1) describes them.

Its units live in ``systemd.json`` beside it, and each restart is written down in ``ledger.jsonl``; there is no systemd.
``ledger.fault`` beside the ledger says how the next restart fails, as for :mod:`tests.bed.ledger_command`.
"""

import json
import os
import signal
import sys
import uuid
from pathlib import Path

NOT_FOUND = 5


def main(folder: Path, verb: str, *rest: str) -> int:
    """Do what is asked."""
    state = folder / "systemd.json"
    units = json.loads(state.read_text(encoding="utf-8"))
    options, unit = rest[:-2], rest[-1]
    if rest[-2:-1] != ("--",):
        return 1
    if verb == "show":
        known = units.get(unit)
        values = {"LoadState": "loaded", **known} if known else {"LoadState": "not-found", "ActiveState": "inactive"}
        wanted = options[0].removeprefix("--property=").split(",")
        sys.stdout.write("".join(f"{name}={values.get(name, '')}\n" for name in wanted))
        return 0
    if verb != "restart":
        return 1
    fault = _fault(folder)
    if fault == "killed before":
        os.kill(os.getppid(), signal.SIGKILL)
        return 0
    if fault == "fails" or unit not in units:
        sys.stderr.write(f"Failed to restart {unit}: Unit {unit} not found.\n")
        return NOT_FOUND
    units[unit] = {"ActiveState": "active", "InvocationID": uuid.uuid4().hex}
    state.write_text(json.dumps(units), encoding="utf-8")
    with (folder / "ledger.jsonl").open("a", encoding="utf-8") as ledger:
        ledger.write(json.dumps({"key": os.environ.get("RESPONDER_RECORD", ""), "unit": unit}) + "\n")
    if fault == "killed after":
        os.kill(os.getppid(), signal.SIGKILL)
    return 1 if fault == "odd" else 0


def _fault(folder: Path) -> str:
    path = folder / "ledger.fault"
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text
