"""Looking at the files while it runs: what changes is taken over, and what was refused is tried again."""

import asyncio
from pathlib import Path

import pytest

from responder.app import ServeOptions, read_settings
from responder.app.runtime import Runtime
from responder.telemetry import Metrics, Redactor, Telemetry
from tests.bed.stores import embedded
from tests.bed.waiting import eventually


async def test_settings_that_wait_for_a_secret_are_taken_over_when_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.app.runtime.WATCH_SECONDS", 0.01)
    monkeypatch.setattr("responder.app.runtime.AGAIN_SECONDS", 0.05)
    (tmp_path / "playbooks").mkdir()
    file, late = tmp_path / "responder.yml", tmp_path / "late.token"
    sound = f"store: {embedded(tmp_path / 'responder.db')}\nplaybooks: [ playbooks/ ]\n"
    file.write_text(sound, encoding="utf-8")
    options = ServeOptions(file)
    settings = await asyncio.to_thread(read_settings, file, options.flags())
    runtime = Runtime(options, settings, Telemetry(Metrics()), Redactor())
    reloads: list[bool] = []

    def note(name: str, /, **fields: object) -> None:
        if name == "reload":
            reloads.append(bool(fields["ok"]))

    runtime.telemetry.fact = note  # type: ignore[method-assign] # the test listens in
    await runtime.store.open()
    await runtime.adopt(settings)
    watching = asyncio.create_task(runtime.watch())
    try:
        file.write_text(f"{sound}access:\n  tokens: [ {{ name: ada, role: admin, token_file: {late} }} ]\n")
        await eventually(lambda: reloads)
        await asyncio.sleep(0.3)
        assert (reloads, runtime.settings.access.tokens) == ([False], ())  # said once, however often it is read
        late.write_text("planted-late-token-of-a-length-that-does\n")
        late.chmod(0o600)
        await eventually(lambda: runtime.settings.access.tokens)
        await asyncio.sleep(0.2)
        assert reloads == [False, True]
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await runtime.close_retired(float("inf"))
        await runtime.store.close()
