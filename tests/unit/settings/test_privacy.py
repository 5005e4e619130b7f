"""What is hidden, read from the configuration."""

from pathlib import Path

import pytest

from responder.domain.errors import SettingsError
from responder.settings import load_settings


def load(folder: Path, text: str) -> object:
    (folder / "responder.yml").write_text(f"access: {{ anonymous: true }}\nprivacy: {text}\n", encoding="utf-8")
    return load_settings(folder / "responder.yml", {}).privacy


def test_labels_patterns_and_personal_data(tmp_path: Path) -> None:
    found = load(tmp_path, "{ labels: [customer], patterns: ['ACME-[0-9]+'], personal: false }")
    assert repr(found) == "PrivacySettings(labels=frozenset({'customer'}), patterns=('ACME-[0-9]+',), personal=False)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{ patterns: ['('] }", "no regular expression of RE2"),
        ("{ patterns: ['a*'] }", "fits where nothing is"),
        ("{ labels: ['a b'] }", "this is no name of a label"),
    ],
)
def test_what_would_hide_nothing_or_everything_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(tmp_path, text)
