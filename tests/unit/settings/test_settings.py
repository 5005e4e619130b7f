"""The configuration: what the design's example says, and what each mistake is answered with."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from responder.domain.alerts import Severity
from responder.domain.limits import Rate
from responder.domain.modes import Mode
from responder.settings import (
    Settings,
    StoreSettings,
    WrongSettings,
    cross_check,
    load_settings,
    unread_secret,
    worth_knowing,
)

EXAMPLE = """\
store: sqlite:///responder.db
redis: { url: redis://127.0.0.1:6379/0 }
max_mode: auto
playbooks: [ playbooks/ ]
sources:
  alertmanager: { kind: alertmanager, authorization: { credentials_file: am.token }, api_url: http://127.0.0.1:9093 }
access:
  tokens: [ { name: oncall, role: operator, token_file: oncall.token } ]
severity: { label: severity, map: { page: critical, warning: high } }
prometheus:
  default: { url: http://127.0.0.1:9090 }
kubernetes:
  cluster_label: cluster
  clusters: { prod-eu: { kubeconfig: eu.kubeconfig, context: eu, prometheus: default } }
connections:
  http:     { checkout: { url: "http://127.0.0.1:8081", allow: [ "GET /*", "PUT /admin/*" ] } }
  redis:    { cache: { url: redis://127.0.0.1:6380, matchers: [ 'instance="cache-01:9121"' ] } }
  postgres: { main: { dsn_file: main.dsn, matchers: [ 'instance="pg-main:9187"' ] } }
time_intervals: []
policies:
  - { matchers: [ 'env="prod"' ], max_mode: approve }
notify:
  slack: { token_file: slack.token, signing_secret_file: slack.secret, api_url: https://slack.com/api/ }
  pagerduty: { services: { payments: { routing_key_file: pd.key } }, api_url: https://events.pagerduty.com }
page: { pagerduty: payments, after: 5m }
routes:
  - { matchers: [ 'severity="critical"' ], slack: "#oncall", pagerduty: payments, continue: true }
  - { slack: "#alerts", incidents: all }
protect: [ '*/namespace/kube-system', '*/deployment/*/responder' ]
retention: { deliveries: 7d, history: 400d, audit: 400d }
"""
SECRETS = {
    "am.token": "am-secret",
    "oncall.token": "oncall-secret",
    "main.dsn": "postgresql://u:dsn-password@h/db",
    "slack.token": "xoxb-secret",
    "slack.secret": "slack-signing",
    "pd.key": "routing-key",
}


def read(folder: Path, text: str, **flags: str) -> Settings:
    path = folder / "responder.yml"
    path.write_text(text)
    return load_settings(path, {name.replace("_", "."): value for name, value in flags.items()})


def wrong(folder: Path, text: str, **flags: str) -> str:
    with pytest.raises(WrongSettings) as caught:
        read(folder, text, **flags)
    return str(caught.value).replace(str(folder), "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, secret in SECRETS.items():
        (tmp_path / name).write_text(f"{secret}\n")
    return tmp_path


def test_the_example_of_the_design_is_read_in_full(folder: Path) -> None:
    settings = read(folder, EXAMPLE)
    assert settings.store.url == f"sqlite:///{folder}/responder.db"
    assert settings.redis is not None
    assert settings.redis.url == "redis://127.0.0.1:6379/0"
    assert settings.playbooks == (folder / "playbooks",)
    source = settings.sources["alertmanager"]
    assert (source.kind, source.auth.header(), source.api_url) == (
        "alertmanager",
        "Bearer am-secret",
        "http://127.0.0.1:9093",
    )
    assert [(one.name, one.role, one.value) for one in settings.access.tokens] == [
        ("oncall", "operator", "oncall-secret")
    ]
    assert settings.prometheus["default"].http.url == "http://127.0.0.1:9090"
    assert settings.kubernetes.clusters["prod-eu"].kubeconfig == folder / "eu.kubeconfig"
    assert settings.connections_http["checkout"].allow == ("GET /*", "PUT /admin/*")
    assert settings.connections_postgres["main"].dsn == "postgresql://u:dsn-password@h/db"
    assert settings.policies[0].max_mode is Mode.APPROVE
    assert settings.notify.slack is not None
    assert settings.notify.slack.signing_secret == "slack-signing"
    assert settings.notify.pagerduty is not None
    assert settings.notify.pagerduty.services == {"payments": "routing-key"}
    assert settings.page is not None
    assert (settings.page.destination, settings.page.after) == ("pagerduty:payments", timedelta(minutes=5))
    assert settings.routes[0].destinations == ("slack:#oncall", "pagerduty:payments")
    assert settings.routes[0].continue_
    assert (settings.routes[1].incidents, settings.routes[1].matchers) == ("all", ())
    assert settings.protect[0] == "*/namespace/kube-system"
    assert settings.retention["history"] == timedelta(days=400)
    assert {*SECRETS.values(), "dsn-password"} <= settings.secrets
    assert {path.name for path in settings.files} == {"responder.yml", *SECRETS}


def test_a_policy_may_limit_what_all_playbooks_share(folder: Path) -> None:
    text = """\
policies:
  - matchers: [ 'tier="db"', 'env="prod"' ]
    limits: { per_target: 2 per 1h, rate: 20 per 1h, concurrent: 3 }
  - { matchers: [ 'env="prod"', 'tier="db"' ], max_mode: approve, limits: { concurrent: 1 } }
"""
    shared, bounded = read(folder, text).policies
    assert shared.max_mode is Mode.AUTO
    assert shared.cap is not None
    assert (shared.cap.rate, shared.cap.concurrent) == (Rate(20, timedelta(hours=1)), 3)
    assert shared.cap.told == 'the policy for tier="db", env="prod"'
    assert bounded.max_mode is Mode.APPROVE
    assert bounded.cap is not None
    assert bounded.cap.key == shared.cap.key, "the same alerts have one count, whatever the order of the matchers"


def test_no_secret_appears_when_settings_are_shown(folder: Path) -> None:
    shown = repr(read(folder, EXAMPLE))
    assert not [secret for secret in SECRETS.values() if secret in shown]


def test_without_a_file_there_are_defaults() -> None:
    settings = load_settings(None, {})
    assert settings.max_mode is Mode.AUTO
    assert settings.store.url == f"sqlite:///{Path.cwd()}/responder.db"
    assert (settings.group_interval, settings.episode_ttl) == (timedelta(minutes=5), timedelta(hours=24))
    assert settings.team_label == "team"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_mod: auto", '/responder.yml:1:1: error: max_mod: unknown key "max_mod" [unknown-key]: did you mean'),
        ("teams: {}", "teams: this key is reserved for a later version [reserved-key]"),
        ("services: {}", "reserved for a later version"),
        ("policies: [ { matchers: [ 'a=\"b\"' ] } ]", "the policy bounds nothing [missing-key]: give it"),
        ("policies: [ { limits: {} } ]", "the limits hold nothing [missing-key]: give per_target, rate or concurrent"),
        ("policies: [ { limits: { rate: 3/h } } ]", "'3/h' is not a rate: write 3 per 1h"),
        ("policies: [ { limits: { per_target: 0 per 1h } } ]", "allows nothing"),
        ("policies: [ { limits: { concurrent: 0 } } ]", ":1:37: error: policies.limits.concurrent: a whole number"),
        ("policies: [ { limits: { concurrant: 2 } } ]", 'did you mean "concurrent"?'),
        ("max_mode: automatic", "'automatic' is not one of disabled, observe, approve, auto"),
        ("store: mysql://x/y", "this is not the URL of a store [url]: write sqlite:///responder.db"),
        ("episode_ttl: 24", "has no unit: write 24s, 24m or 24h"),
        ("playbooks: 3", "a text is expected [type]: put it in quotes"),
        ("prometheus: { a: http://x, b: http://y }", "a and b both answer for every alert"),
        ("prometheus: { a: http://user:pass@x }", "the URL holds credentials"),
        ("prometheus: { a: ftp://x }", "is not a URL of http or https"),
        ("prometheus: { a: { url: http://x, basic_auth: { username: u } } }", 'missing key "password_file"'),
        ("prometheus: { a: { url: http://x, matchers: [ 'a=~\"(\"' ] } }", "[matcher]"),
        ("sources: { am: { kind: alertmanager } }", "anybody could send alerts here"),
        ("sources: { 'a/b': { authorization: { credentials: abc } } }", "cannot stand in a URL"),
        (
            "sources: { am: { authorization: { credentials_file: missing } } }",
            "the file that is named here cannot be read: No such file",
        ),
        ("sources: { am: { hmac: { secret: abc } } }", "Alertmanager cannot sign"),
        ("access: { tokens: [ { name: a, role: owner, token: abcdefgh } ] }", "'owner' is not one of viewer"),
        (
            "access: {tokens: [{name: a, role: admin, token: abcdefgh}, {name: b, role: viewer, token: abcdefgh}]}",
            "b has the same token as a: nobody can tell which of them it is",
        ),
        ("access: { tokens: [ { name: a, role: admin, token: abc } ] }", "fewer than 8 characters"),
        (
            ("access: { tokens: [ { name: a, role: admin, token: abcdefgh } ] }\n"
            "sources: { am: { authorization: { credentials: abcdefgh } } }"),
            "a has the same token as sources.am: whoever may send alerts could do what it may",
        ),
        (
            ("access: { tokens: [ { name: a, role: admin, token: abcdefgh } ] }\n"
            "sources: { am: { kind: grafana, hmac: { secret: abcdefgh } } }"),
            "a has the same token as sources.am",
        ),
        ('sources: { am: { authorization: { credentials: "a\\nb" } } }', "a secret is one line, and here are several"),
        ("connections: { http: { a: { url: http://x } } }", "nothing may be called here"),
        ("connections: { http: { a: { url: http://x, allow: [ 'admin' ] } } }", "is not a method and a path"),
        ("connections: { http: { a: { url: http://x, allow: [ 'GET /' ], timeout: 1m } } }", "too long: at most 15s"),
        ("connections: { postgres: { a: { dsn: http://x } } }", "the dsn is not a URL of postgresql"),
        ("page: { pagerduty: payments }", "there is no PagerDuty service called 'payments'"),
        ("page: {}", "exactly one place to page is needed, and none is named"),
        (
            "notify: { slack: { token: xoxb-12345678 } }\npage: { slack: [ '#a', '#b' ] }",
            "a page goes to one place, and 2 are named: slack:#a, slack:#b [value]: keep slack:#a, and tell the others",
        ),
        ("digest: on", "'on' means nothing here [value]: write off for a message of its own for each incident, or {"),
        ("kubernetes: { clusters: { eu: in-clustr } }", "'in-clustr' means nothing here [value]: did you mean"),
        ("routes: [ { slack: '#x' } ]", "notify.slack is not configured"),
        ("routes: [ { incidents: all } ]", "this route tells nobody"),
        ("retention: { history: 1h }", "limits look back further"),
        ("time_intervals: [ { name: a, time_intervals: [ { times: 3 } ] } ]", "[interval]"),
        ("a: 1\na: 2", "[yaml-duplicate-key]"),
    ],
)  # fmt: skip
def test_each_mistake_is_answered_with_its_place_and_how_to_mend_it(tmp_path: Path, text: str, said: str) -> None:
    message = wrong(tmp_path, text)
    assert message.startswith("/responder.yml:")
    assert said in message


def test_a_file_with_several_lines_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "am.token").write_text("abcdefghijklmnop\nqrstuvwxyz\n")
    said = wrong(tmp_path, "sources: { am: { authorization: { credentials_file: am.token } } }")
    assert "credentials_file: a secret is one line, and here are several" in said
    assert "abcdefgh" not in said


def test_short_secrets_are_worth_knowing(tmp_path: Path) -> None:
    (tmp_path / "am.token").write_text("a\n")
    text = """\
access: { tokens: [ { name: ana, role: admin, token: abcdefghijklmno }, { name: ben, role: viewer, token: %s } ] }
sources:
  am: { authorization: { credentials_file: am.token } }
  other: { authorization: { credentials: %s } }
"""
    found = worth_knowing(read(tmp_path, text % ("x" * 16, "y" * 16)))
    assert [(one.rule, one.severity, one.message.split(" has ")[0]) for one in found] == [
        ("short-secret", "warning", "access.tokens: the token of ana"),
        ("short-secret", "warning", "sources.am: its secret"),
    ]


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    assert len(wrong(tmp_path, "max_mod: auto\nepisode_ttl: 5\nfoo: 1\n").splitlines()) == 3


def test_a_secret_is_given_once(folder: Path) -> None:
    text = "access: { tokens: [ { name: a, role: admin, token: abcdefgh, token_file: oncall.token } ] }"
    assert "give either token or token_file, not both" in wrong(folder, text)


def test_a_check_without_secrets_at_hand_opens_no_secret_file(tmp_path: Path) -> None:
    (tmp_path / "responder.yml").write_text(EXAMPLE)
    assert load_settings(tmp_path / "responder.yml", {}, unread_secret).secrets


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    from responder.domain.errors import SettingsError

    with pytest.raises(SettingsError, match=r"docs/tutorial.md"):
        load_settings(tmp_path / "nothing.yml", {})


@pytest.mark.parametrize(
    ("listen", "fits"),
    [
        ("127.0.0.1:9095", True),
        ("localhost:9095,[::1]:9095", True),
        (":9095", False),
        ("0.0.0.0:9095", False),
        ("127.0.0.1:1,[::]:2", False),
        ("responder.example:9095", False),
    ],
)
def test_only_this_machine_may_come_in_without_credentials(tmp_path: Path, listen: str, fits: bool) -> None:  # noqa: FBT001 - a table's column
    path = tmp_path / "responder.yml"
    path.write_text("access: { anonymous: true }\nsources: { am: {} }\n")
    flags = {"web.listen-address": listen}
    if fits:
        assert load_settings(path, flags).access.anonymous
    else:
        with pytest.raises(WrongSettings, match="only this machine may reach it"):
            load_settings(path, flags)


def test_a_place_to_page_is_needed_once_a_playbook_may_act(folder: Path) -> None:
    modes = {"a": Mode.OBSERVE, "b": Mode.AUTO}
    assert "b may act" in str(cross_check(read(folder, "max_mode: auto"), modes)[0])
    assert cross_check(read(folder, "max_mode: observe"), modes) == ()
    assert cross_check(read(folder, "max_mode: auto"), {"a": Mode.OBSERVE}) == ()
    assert cross_check(read(folder, EXAMPLE), modes) == ()


def test_what_limits_count_must_be_kept_for_as_long_as_they_look_back(folder: Path) -> None:
    def said(text: str, **looks_back: timedelta) -> list[str]:
        return [f"{one}: {one.hint}" for one in cross_check(read(folder, text), {}, looks_back)]

    day = timedelta(days=1)
    short = "retention: { history: 2d }"
    assert said(short, a=day, b=2 * day) == []
    assert said("", a=400 * day) == []
    (one,) = said(short, a=3 * day, b=7 * day, c=day)
    assert "retention.history: 2d is less than 1w, the window of the limits of b" in one
    assert "keep at least 1w, or give the limit a shorter window" in one
    (one,) = said(f"{short}\npolicies: [ {{ matchers: ['env=prod'], limits: {{ rate: 3 per 5d }} }} ]", b=4 * day)
    assert "2d is less than 5d, the window of the policy for env=" in one


def test_severity_goes_by_the_map_and_then_by_the_usual_words(folder: Path) -> None:
    rule = read(folder, EXAMPLE).severity
    words = ["page", "warning", "critical", "info", "strange", ""]
    assert [rule.of({"severity": word}) for word in words] == [
        Severity.CRITICAL,
        Severity.HIGH,
        Severity.CRITICAL,
        Severity.LOW,
        Severity.MEDIUM,
        Severity.MEDIUM,
    ]


def test_a_connection_is_picked_by_matchers_or_by_being_the_only_one(folder: Path) -> None:
    one = read(folder, EXAMPLE).connections
    assert one.pick("http", {}) == "checkout"
    assert one.pick("redis", {"instance": "cache-01:9121"}) == "cache"
    with pytest.raises(ValueError, match="no redis connection fits"):
        one.pick("redis", {"instance": "other"})
    two = "a: { url: redis://a, matchers: [ 'x=~\".+\"' ] }, b: { url: redis://b, matchers: [ x=1 ] }"
    text = f"connections: {{ redis: {{ {two} }} }}"
    with pytest.raises(ValueError, match="several redis connections fit this alert: a, b"):
        read(folder, text).connections.pick("redis", {"x": "1"})


def test_a_connection_says_which_parameters_may_be_set(folder: Path) -> None:
    kinds = "redis: { a: { url: redis://a, parameters: [ Hz ] }, b: redis://b }"
    text = f"connections: {{ {kinds}, postgres: {{ c: {{ dsn: postgresql://u@h/d, parameters: [] }} }} }}"
    settings = read(folder, text)
    assert settings.connections_redis["a"].parameters == frozenset({"hz"})
    assert settings.connections_redis["b"].parameters is None
    assert settings.connections_postgres["c"].parameters == frozenset()


def test_http_config_gives_the_headers_to_send(folder: Path) -> None:
    text = """\
prometheus:
  a: { url: http://a, basic_auth: { username: u, password: p w }, matchers: [ 'x="1"' ] }
  b: { url: http://b, authorization: { type: Token, credentials: tok }, matchers: [ 'x="2"' ],
       http_headers: { X-Scope-OrgID: { values: [ a, b ] } } }
  c: http://c/
"""
    servers = read(folder, text).prometheus
    assert servers["a"].http.headers() == {"Authorization": "Basic dTpwIHc="}
    assert servers["b"].http.headers() == {"Authorization": "Token tok", "X-Scope-OrgID": "a, b"}
    bare = servers["c"].http
    assert (bare.url, bare.headers(), bare.ssl_context()) == ("http://c", {}, None)


def test_settings_are_light_to_import() -> None:
    code = "import responder.settings, sys; print([m for m in ('aiohttp','sqlalchemy','redis') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////var/lib/x.db", "SQLite /var/lib/x.db"),
        ("postgresql://ann:s3cret@db/alerts?password=s3cret", "PostgreSQL db:5432/alerts"),
        ("postgresql://ann:s3cret@db1:1,db2:2/alerts", "PostgreSQL db1:1,db2:2/alerts"),
        ("postgresql://ann:s3/cret@db/alerts", "PostgreSQL"),
    ],
)
def test_a_store_is_named_without_who_uses_it_and_how(url: str, place: str) -> None:
    assert StoreSettings(url).place == place
