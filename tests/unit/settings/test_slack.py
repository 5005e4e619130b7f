"""Who may press what in Slack, as it is written down; the page about it is what it says."""

import re
import textwrap
from pathlib import Path

import pytest
import yaml

from responder.domain.errors import SettingsError
from responder.settings import Settings, cross_check, load_settings

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "act-from-slack.md"


def _load(folder: Path, text: str) -> Settings:
    (folder / "responder.yml").write_text(text, encoding="utf-8")
    return load_settings(folder / "responder.yml", {})


def _blocks() -> list[str]:
    return [textwrap.dedent(one) for one in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]


def test_the_page_about_slack_shows_a_configuration_that_works(tmp_path: Path) -> None:
    (tmp_path / "slack.token").write_text("xoxb-planted", encoding="utf-8")
    (tmp_path / "slack.app").write_text("xapp-planted", encoding="utf-8")
    (tmp_path / "am.token").write_text("planted-am-token", encoding="utf-8")
    settings = _load(tmp_path, _blocks()[1])
    ana = settings.access.slack["U0123ABCD"]
    assert (ana.name, ana.role, set(ana.groups), set(ana.teams)) == ("ana", "operator", {"sre-oncall"}, set())
    assert settings.access.slack["U0456EFGH"].teams == {"payments"}
    assert settings.notify.slack is not None
    assert settings.notify.slack.pressable
    assert "xapp-planted" in settings.secrets
    assert cross_check(settings, {}) == ()


def test_the_manifest_on_that_page_is_yaml_with_the_scopes_that_are_needed() -> None:
    manifest = yaml.safe_load(_blocks()[0])
    assert {"chat:write", "commands", "channels:history"} <= set(manifest["oauth_config"]["scopes"]["bot"])
    assert manifest["settings"]["socket_mode_enabled"] is True
    assert [one["command"] for one in manifest["features"]["slash_commands"]] == ["/responder"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("access: { slack: { ana: { name: ana, role: operator } } }", "this is no id of a Slack user"),
        ("access: { slack: { U0ANA: { name: ana } } }", 'missing key "role"'),
        ("access: { slack: { U0ANA: { role: viewer } } }", 'missing key "name"'),
        ("access: { slack: { U0ANA: { name: ana, role: boss } } }", "'boss' is not one of"),
        ("access: { slack: { U0ANA: { name: ana, role: viewer, group: x } } }", 'unknown key "group"'),
        (
            "access: { slack: { U0ANA: { name: ana, role: viewer }, U0BEN: { name: Ana, role: viewer } } }",
            "U0ANA is called 'Ana', too",
        ),
        ("notify: { slack: { token: xoxb-planted, app_token: xoxb-other } }", "app_token is another kind of token"),
    ],
)
def test_a_slip_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        _load(tmp_path, text)
    assert message in str(wrong.value)
    assert re.search(r"responder\.yml:\d+:\d+", str(wrong.value))


def test_people_whom_nothing_hears_are_complained_about(tmp_path: Path) -> None:
    people = "access: { slack: { U0ANA: { name: ana, role: viewer } } }"
    (complaint,) = cross_check(_load(tmp_path, f"notify: {{ slack: {{ token: xoxb-p }} }}\n{people}"), {})
    assert "nothing hears of what they press" in complaint.message
    heard = f"notify: {{ slack: {{ token: xoxb-p, signing_secret: planted }} }}\n{people}"
    assert cross_check(_load(tmp_path, heard), {}) == ()
