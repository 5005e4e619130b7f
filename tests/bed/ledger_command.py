"""A command with a ledger: ``ledger_command.py LEDGER ITEM VALUE`` sets an item, ``LEDGER --landed`` looks for its key.

Beside the ledger, ``LEDGER.fault`` says how the next run fails: ``fails`` and ``odd`` are exit codes, ``killed before``
and ``killed after`` end its supervisor like SIGKILL does, ``slow`` takes its time until ``LEDGER.go`` is there, and
``slow odd`` fails then.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main(ledger: Path, item: str, value: str = "") -> int:
    """Set an item, once for each run."""
    key = os.environ.get("RESPONDER_RECORD", "")
    if item == "--landed":
        return 0 if any(line["key"] == key for line in entries(ledger)) else 1
    fault = _fault(ledger)
    sys.stdout.write(f"setting {item} with {os.environ.get('BED_TOKEN', 'no token')}\n")
    sys.stdout.flush()
    if fault == "killed before":
        os.kill(os.getppid(), signal.SIGKILL)
        return 0
    if fault in {"fails", "odd", "nothing"}:
        return {"fails": 2, "odd": 9, "nothing": 3}[fault]
    while fault.startswith("slow") and not ledger.with_suffix(".go").exists():
        time.sleep(0.01)
    if fault == "slow odd":
        return 9
    line = json.dumps({"key": key, "item": item, "value": value, "at": time.time()})
    handle = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, f"{line}\n".encode())
    if fault == "killed after":
        os.kill(os.getppid(), signal.SIGKILL)
    return 0


def _fault(ledger: Path) -> str:
    path = ledger.with_suffix(".fault")
    try:
        text = path.read_text(encoding="utf-8")
        path.unlink()
    except FileNotFoundError:
        return ""
    return text


def entries(ledger: Path) -> list[dict[str, str]]:
    """Return what was set, in order."""
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), *sys.argv[2:]))
