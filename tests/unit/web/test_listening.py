"""A busy port is noticed before anything begins that would have to be broken off."""

import socket
from pathlib import Path

import pytest

from responder.app import ServeOptions, serve
from responder.domain.errors import SettingsError


async def test_a_busy_port_ends_the_start_before_the_store_is_opened(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    config = tmp_path / "responder.yml"
    config.write_text(f"playbooks: [ playbooks ]\nstore: {{ url: 'sqlite:///{tmp_path}/responder.db' }}\n")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        place = f"127.0.0.1:{busy.getsockname()[1]}"
        with pytest.raises(SettingsError, match=f"cannot listen on {place}"):
            await serve(ServeOptions(config, listen=(place,), log_level="error"))
    assert not (tmp_path / "responder.db").exists()
