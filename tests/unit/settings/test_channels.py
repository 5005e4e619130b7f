"""The channels beside Slack and PagerDuty, read from the configuration."""

from pathlib import Path

import pytest

from responder.app.channels import more_channels
from responder.domain.errors import SettingsError
from responder.settings import Settings, load_settings
from responder.telemetry.redact import Redactor

NOTIFY = """\
notify:
  webhook: { audit: { url: "https://audit.example/hook", secret: "0123456789abcdef0123" } }
  email: { host: mail.example, from: responder@corp.example, username: r, password: mail-pass, states: final }
  teams: { oncall: { url_file: teams.url } }
  slack_webhook: { alerts: "https://hooks.slack.com/services/T/B/x" }
  apprise: { matrix: { url: "matrix://user:pass@host/#room" } }
"""


def load(folder: Path, text: str) -> Settings:
    (folder / "teams.url").write_text("https://prod.logic.azure.com/workflows/1?sig=abc\n", encoding="utf-8")
    (folder / "responder.yml").write_text(f"access: {{ anonymous: true }}\n{text}", encoding="utf-8")
    return load_settings(folder / "responder.yml", {})


def test_every_channel_is_read_and_named_by_routes(tmp_path: Path) -> None:
    routes = "routes: [{ webhook: audit, email: [a@b.example], teams: oncall, slack_webhook: alerts, apprise: matrix }]"
    settings = load(tmp_path, f"{NOTIFY}{routes}\npage: {{ teams: oncall }}\n")
    assert settings.routes[0].destinations == (
        "webhook:audit", "teams:oncall", "slack_webhook:alerts", "apprise:matrix", "email:a@b.example"
    )  # fmt: skip
    assert settings.page is not None
    assert settings.page.destination == "teams:oncall"
    assert settings.notify.email is not None
    assert (settings.notify.email.port, settings.notify.email.final_only) == (587, True)
    assert {"https://prod.logic.azure.com/workflows/1?sig=abc", "mail-pass", "0123456789abcdef0123"} <= settings.secrets
    made, closers = more_channels(settings.notify)
    assert sorted(made) == ["apprise", "email", "slack_webhook", "teams", "webhook"]
    assert len(closers) == 3
    for secret in settings.secrets:
        assert secret not in repr(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("routes: [{ teams: oncal }]", "there is no teams called 'oncal'"),
        ("routes: [{ email: nobody }]", "'nobody' is no e-mail address"),
        ("routes: [{ slack_webhook: x, incidents: all }]", "there is no slack_webhook"),
    ],
)
def test_a_route_to_nowhere_is_refused_with_what_there_is(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(tmp_path, NOTIFY + text)


def test_the_hint_about_an_address_is_readable_once_addresses_are_masked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, NOTIFY + "routes: [{ email: nobody }]")
    said = str(refused.value)
    assert Redactor().redact(said) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("email: { host: h, from: r@b.example, username: r, password: p, tls: none }", "sent in the clear"),
        ("email: { host: h, from: r@b.example, username: r }", "go together"),
        ("email: { host: h, from: nobody }", "no e-mail address"),
        ("webhook: { a: { url: 'http://h', secret: short } }", "fewer than 16"),
        ("webhook: { a: { url: 'http://h', secret: short } }", "whsec_"),  # as the page on channels makes one
        ("teams: { a: { url: 'no url' } }", "this is no URL"),
    ],
)
def test_what_could_not_work_or_would_leak_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(tmp_path, f"notify: {{ {text} }}\n")


def test_a_secret_that_is_not_base64_is_said_when_it_is_put_to_use(tmp_path: Path) -> None:
    settings = load(tmp_path, 'notify: { webhook: { a: { url: "http://h", secret: "whsec_not-base-64-at-all" } } }\n')
    with pytest.raises(SettingsError, match=r"notify.webhook.a.secret: what follows whsec_"):
        more_channels(settings.notify)
