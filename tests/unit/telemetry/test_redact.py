"""What is kept out: every kind of secret in every place, and nothing beside it."""

import io
import json
import logging
import string
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from responder.telemetry import Privacy, Redactor, Telemetry, configure_logging, log_last_words
from responder.telemetry.metrics import Metrics
from responder.telemetry.patterns import luhn
from tests.bed.planted import SETTINGS, SHAPES

ANY = Redactor()
KINDS = st.sampled_from(sorted(SHAPES))
BESIDE = st.text(st.characters(codec="utf-8"), max_size=30)
QUIET = st.text(st.sampled_from(string.ascii_lowercase + " \n"), max_size=30)


@pytest.mark.parametrize("kind", SHAPES)
def test_every_kind_is_recognised_by_its_shape(kind: str) -> None:
    planted, secret = SHAPES[kind]
    assert secret not in ANY.redact(f"it said: {planted} and ended")


@given(kind=KINDS, before=QUIET, after=QUIET)
def test_text_around_a_secret_stays_and_a_second_look_finds_nothing(kind: str, before: str, after: str) -> None:
    planted, secret = SHAPES[kind]
    shown = ANY.redact(f"{before} {planted} {after}")
    assert secret not in shown
    assert shown.startswith(before)
    assert kind == "pem-cut" or shown.endswith(after)
    assert ANY.redact(shown) == shown


@given(kind=KINDS, before=BESIDE, after=BESIDE)
def test_json_stays_json_and_holds_no_secret(kind: str, before: str, after: str) -> None:
    planted, secret = SHAPES[kind]
    shown = ANY.redact_json({"reason": f"{before} {planted} {after}", "n": 4111111111111111, "more": [planted, None]})
    text = json.dumps(shown)
    assert secret not in text
    assert json.loads(text)["n"] == 4111111111111111


@given(text=st.text(max_size=200))
def test_nothing_is_looked_for_twice_and_what_is_clean_stays_as_it_is(text: str) -> None:
    assert ANY.redact(text) == text or not ANY.clean(text)


@given(digits=st.text(string.digits, min_size=13, max_size=19))
def test_a_long_number_is_a_card_only_with_a_check_digit_and_an_issuer(digits: str) -> None:
    assert ("<card>" in ANY.redact(f"id {digits}")) <= luhn(digits)


@pytest.mark.parametrize(
    "text",
    [
        "the token has fewer than 8 characters; make one: openssl rand -hex 32",
        "access.tokens.[0].token_file: cannot be read: No such file or directory",
        "add authorization: { credentials_file: … }, or basic_auth",
        "workers: 4 → 6, verify 4.1 % → 0.3 %, held 1m",
        "deployment/shop/api@sha256:" + "ab" * 32,
        'rate(http_requests_total{job="api"}[5m] @ 1764244968.123)',
        "run 01HZXK5T9M4Q8V7N2B6C3D1E0F on postgres/main, fingerprint 8f14e45fceea167a",
        "1764244968000000000 1764244968.123456 0.4111111111111111",
        "user@10.0.0.1 and @sre-oncall and slack:@group",
        "2026-11-27T11:00:00.123456Z 4b3403665fea6f8b8a0d8d2d4111111111111111",
        "http://prometheus:9090/graph?g0.expr=up%3D%3D0&g0.tab=1",
        "Basic facts: a bearer of news",
    ],
)
def test_what_an_on_call_engineer_needs_stays_readable(text: str) -> None:
    assert ANY.redact(text) == text


@pytest.mark.parametrize("kind", SETTINGS)
def test_configured_secrets_are_known_in_every_form(kind: str) -> None:
    secret = SETTINGS[kind]
    redactor = Redactor(SETTINGS.values())
    for form in (secret, json.dumps(secret), repr(secret), secret.replace("!", "%21")):
        assert secret.partition("!")[2] not in redactor.redact(f"<{form}>")


def test_a_password_that_stands_percent_encoded_in_a_dsn_is_known_as_it_is_sent() -> None:
    assert (
        Redactor(["p%40ss%2Fword"]).redact("FATAL: password p@ss/word is wrong") == "FATAL: password <secret> is wrong"
    )


def test_hidden_labels_are_hidden_as_fields_in_matchers_and_in_sentences() -> None:
    redactor = Redactor(privacy=Privacy(labels=frozenset({"customer"})))
    shown: Any = redactor.redact_json(
        {"labels": {"customer": "Acme Corp", "job": "api"}, "reason": "Acme Corp is late", "id": "Acme Corp"}
    )
    assert shown == {
        "labels": {"customer": "<hidden>", "job": "api"}, "reason": "<hidden> is late", "id": "Acme Corp"
    }  # fmt: skip
    assert redactor.redact('{}:{customer="Acme Corp", job="api"}') == '{}:{customer="<hidden>", job="api"}'
    assert redactor.redact("customer=acme, job=api") == "customer=<hidden>, job=api"


def test_own_patterns_are_masked_and_personal_data_may_be_kept() -> None:
    redactor = Redactor(privacy=Privacy(patterns=("ACME-[0-9]{4}",), personal=False))
    assert redactor.redact("ACME-1234 of ana@customer.example") == "<secret> of ana@customer.example"


def test_people_who_are_known_here_keep_their_names() -> None:
    redactor = Redactor(privacy=Privacy(people=frozenset({"ana@corp.example"})))
    assert (
        redactor.redact("ana@corp.example stopped it for bob@corp.example") == "ana@corp.example stopped it for <email>"
    )
    assert redactor.redact_json({"actor": "bob@corp.example"}) == {"actor": "bob@corp.example"}


def test_keys_say_what_their_values_are() -> None:
    assert ANY.redact_value({"password": "short", "db": {"api_key": "k"}, "token_file": "am.token"}) == {
        "password": "<secret>", "db": {"api_key": "<secret>"}, "token_file": "am.token"
    }  # fmt: skip


def test_a_hostile_text_costs_little() -> None:
    texts = [
        "a" * 60_000 + "@b.c ",
        "password=" * 7_000,
        "://" * 20_000 + "x:y@",
        "4111 " * 12_000,
        "eyJ" + "a." * 30_000,
    ]
    began = time.process_time()
    for text in texts:
        ANY.redact(text + " ana@b.example")
    assert time.process_time() - began < 1.0


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root, hooks = logging.getLogger(), (threading.excepthook,)
    before = root.handlers[:], root.level
    out = io.StringIO()
    yield out
    root.handlers[:], level = before
    root.setLevel(level)
    (threading.excepthook,) = hooks
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.mark.promise(19)
@pytest.mark.parametrize("log_format", ["json", "logfmt"])
def test_no_planted_secret_gets_into_a_log_line(logged: io.StringIO, log_format: str) -> None:
    redactor = Redactor(SETTINGS.values(), Privacy(labels=frozenset({"customer"})))
    configure_logging("debug", log_format, redactor, logged)
    telemetry = Telemetry(Metrics())
    for planted in (*(one for one, _ in SHAPES.values()), *SETTINGS.values()):
        telemetry.fact("turn_failed", error=planted, nested={"a": [planted], "o": ValueError(planted)})
        logging.getLogger("library").warning("answered %s", planted, extra={"more": planted})
        logging.getLogger("library").error("failed", exc_info=ValueError(planted))
    telemetry.fact("delivery", labels={"customer": "Acme"}, source="a")
    text = logged.getvalue()
    for secret in (*(one for _, one in SHAPES.values()), *SETTINGS.values(), "Acme"):
        assert secret not in text
    if log_format == "json":
        assert all(json.loads(line) for line in text.splitlines())


def test_what_nobody_caught_is_logged_without_its_secrets(logged: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    configure_logging("info", "json", Redactor(["hunter-two"]), logged)
    log_last_words()

    def fail() -> None:
        raise RuntimeError("logged in with hunter-two")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    line = json.loads(logged.getvalue())
    assert line["event"] == "uncaught"
    assert "logged in with <secret>" in line["exception"]


def test_a_password_that_is_a_word_does_not_hide_what_people_are_told_about() -> None:
    redactor = Redactor(["postgres", "abc"])
    assert redactor.redact("postgres/main is down") == "postgres/main is down"
    assert redactor.redact("postgresql://app:postgres@db/shop") == "postgresql://app:<secret>@db/shop"
    assert redactor.redact_json({"a": ["postgres", "abc", "abcd"]}) == {"a": ["<secret>", "<secret>", "abcd"]}
    assert redactor.holds_secret({"password": "postgres"})
