"""Complaints about files, written for a terminal, a program, GitHub's annotations and code scanning (SARIF)."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from responder.domain.errors import Complaint

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def as_text(complaints: Sequence[Complaint], checked: int) -> str:
    """Write each complaint with its line and a caret, then how many there were."""
    return "".join(f"{_block(complaint)}\n" for complaint in complaints) + f"{summary(complaints, checked)}\n"


def _block(complaint: Complaint) -> str:
    lines = [str(complaint)]
    if complaint.source_line and complaint.line:
        number = f"  {complaint.line}"
        before = complaint.source_line[: complaint.column - 1]
        # Tabs stay tabs, so that the caret stands below its character at any width.
        indent = "".join(character if character == "\t" else " " for character in before)
        caret = "^" * max(1, complaint.width)
        lines.append(f"{number} | {complaint.source_line.rstrip()}")
        lines.append(f"{' ' * len(number)} | {indent}{caret} {complaint.hint}".rstrip())
    elif complaint.hint:
        lines.append(f"    {complaint.hint}")
    return "\n".join(lines)


def summary(complaints: Sequence[Complaint], checked: int) -> str:
    """``Checked 3 playbook(s): 1 error(s).``, with the warnings when there are any."""
    errors = count_errors(complaints)
    others = len(complaints) - errors
    return f"Checked {checked} playbook(s): {errors} error(s){f', {others} warning(s)' if others else ''}."


def count_errors(complaints: Sequence[Complaint]) -> int:
    """Count what keeps a file from being used."""
    return sum(complaint.severity == "error" for complaint in complaints)


def as_json(complaints: Sequence[Complaint], checked: int) -> str:
    """Write one JSON object: how many were checked, how many errors, and each complaint."""
    found = [
        {
            "file": complaint.file,
            "line": complaint.line,
            "column": complaint.column,
            "width": complaint.width,
            "severity": complaint.severity,
            "rule": complaint.rule,
            "message": complaint.message,
            "hint": complaint.hint,
        }
        for complaint in complaints
    ]
    errors = count_errors(complaints)
    return json.dumps({"checked": checked, "errors": errors, "complaints": found}, indent=2, ensure_ascii=False) + "\n"


def as_github(complaints: Sequence[Complaint], checked: int) -> str:
    """Write GitHub Actions' workflow commands, one a complaint, then the summary as plain text."""
    lines = []
    for complaint in complaints:
        properties = {
            "file": complaint.file,
            "line": max(1, complaint.line),
            "col": max(1, complaint.column),
            "endColumn": max(1, complaint.column) + complaint.width,
            "title": complaint.rule,
        }
        written = ",".join(f"{key}={_github_property(str(value))}" for key, value in properties.items())
        command = _GITHUB_COMMANDS[complaint.severity]
        lines.append(f"::{command} {written}::{_github_text(_sentence(complaint))}\n")
    return "".join(lines) + f"{summary(complaints, checked)}\n"


def _sentence(complaint: Complaint) -> str:
    return f"{complaint.message} ({complaint.hint})" if complaint.hint else complaint.message


def _github_text(text: str) -> str:
    """Escape as actions/toolkit does (packages/core/src/command.ts, escapeData)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_text(text).replace(":", "%3A").replace(",", "%2C")


def as_sarif(complaints: Sequence[Complaint], checked: int) -> str:
    """Write SARIF 2.1.0, which code scanning and editors read."""
    rules = sorted({complaint.rule for complaint in complaints})
    run = {
        "tool": {"driver": {"name": "responder check", "rules": [{"id": rule} for rule in rules]}},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(complaint, rules.index(complaint.rule)) for complaint in complaints],
        "properties": {"checked": checked},
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _sarif_result(complaint: Complaint, rule_index: int) -> Mapping[str, Any]:
    column = max(1, complaint.column)
    region = {"startLine": max(1, complaint.line), "startColumn": column, "endColumn": column + complaint.width}
    location = {"artifactLocation": {"uri": _uri(complaint.file)}, "region": region}
    return {
        "ruleId": complaint.rule,
        "ruleIndex": rule_index,
        "level": complaint.severity,
        "message": {"text": _sentence(complaint)},
        "locations": [{"physicalLocation": location}],
    }


def _uri(file: str) -> str:
    from urllib.parse import quote

    return f"file://{quote(file)}" if file.startswith("/") else quote(file)


FORMATS: Mapping[str, Callable[[Sequence[Complaint], int], str]] = {
    "text": as_text,
    "json": as_json,
    "github": as_github,
    "sarif": as_sarif,
}
"""The formats by the name that ``check --output`` takes."""
