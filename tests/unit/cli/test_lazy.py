"""What does not reach out must not load what reaches out: authors check on machines without any of it, and wait."""

import subprocess
import sys
from pathlib import Path

import pytest

import responder.demo

HEAVY = ("PIL", "aiohttp", "aiosqlite", "alembic", "asyncpg", "kubernetes_asyncio", "redis", "slack_sdk", "sqlalchemy")
PLAYBOOKS = Path(responder.demo.__file__).with_name("playbooks")
PROGRAM = """\
import sys
from responder.cli.app import run
try:
    run()
finally:
    print(sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["check", str(PLAYBOOKS)], ["check", "--syntax-only", str(PLAYBOOKS)], ["schema"], ["version"]]
)
def test_commands_of_authors_load_no_library_of_an_outside_system(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "responder.yml").write_text(
        'connections: { http: { checkout: { url: "http://127.0.0.1:1", allow: [ "GET /*", "PUT /admin/*" ] } } }\n'
        "page: { console: true }"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
