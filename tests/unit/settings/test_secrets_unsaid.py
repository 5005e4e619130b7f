"""No message about a file that may hold secrets repeats one, however wrongly it was written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from responder.cli.app import app
from responder.domain.errors import SettingsError
from responder.settings import load_settings
from responder.settings.reader import WrongSettings
from responder.web.web_config import read_web_config

SECRET = "HUNTER2pass-abcdefgh"
NUMBERS = ("98765432109876543", "98765432109876543210", "98765432109876543210123", "007123456789", "0x1234567890")
ALSO = ("7123456789", "78187493520")
"""What the numbers are when they are read as such."""


def _source(value: str) -> str:
    return f"sources: {{ am: {{ authorization: {{ credentials: {value} }} }} }}"


WRONG = (
    *(f"notify:\n  webhook:\n    a:\n      secret: {sign}{SECRET}" for sign in "&*!%@`|>"),
    *(_source(f"{sign}{SECRET}") for sign in "&*!%@`"),
    *(_source(number) for number in NUMBERS),
    *(f"access:\n  tokens:\n    - token: {number}" for number in NUMBERS),
    f"access:\n  tokens:\n    - token: {{{SECRET}",
    f"access:\n  tokens:\n    - token: {{{SECRET}}}",
    f"access:\n  tokens:\n    - token: [{SECRET}]",
    f"access:\n  tokens:\n    - token:{SECRET}",
    f"access:\n  tokens:\n    - token: {SECRET}: x",
    f"access:\n  tokens:\n    - token: #{SECRET}",
    f"access:\n  tokens:\n    - token: '{SECRET}",
    f"access:\n  tokens:\n    - token: 'a'{SECRET}",
    f'access:\n  tokens:\n    - token: "a"{SECRET}',
    f'access:\n  tokens:\n    - token: "\\q{SECRET}"',
    f"access:\n  tokens:\n    - token: {{{{{SECRET}}}}}",
    f"access:\n  tokens:\n    - token: {{{{ {SECRET} }}}} x",
    f"access:\n  tokens:\n    - {{ token: a,{SECRET}, role: viewer }}",
    f"access:\n  tokens:\n    - {{ token: a{{{SECRET} }}",
    f'access:\n  tokens:\n    - {{ token: a"{SECRET}, b }}',
    f"access:\n  tokens:\n    - token: a\n   {SECRET}",
    f"access:\n  tokens:\n    - token: a\n      {SECRET}: b\n      {SECRET}: b",
    f"access:\n  tokens:\n    - {SECRET}: a",
    f"access:\n  tokens: {SECRET}",
    f"access:\n  tokens:\n    - {SECRET}",
    f"access:\n  tokens:\n    - role:\n        token: {SECRET}",
    f"access:\n  tokens:\n    - token_file: {SECRET}",
    f"access:\n  slack: {{ {SECRET}: {{ name: a, role: viewer }} }}",
    f"access:\n  pagerduty: {{ {SECRET}: {{ name: a, role: viewer }} }}",
    f"{SECRET}",
    f"{SECRET}: a",
    f"? [{SECRET}]\n: a",
    f"sources:\n  am:\n    authorization: {{ {SECRET}: x }}",
    f"sources:\n  'a b {SECRET}': {{ authorization: {{ credentials: abcdefghijkl }} }}",
    f"sources:\n  am:\n    authorization: {SECRET}",
    f"sources:\n  am:\n    api_url: http//user:{SECRET}@host",
    f"sources:\n  am:\n    api_url: http://user:{SECRET}@host",
    f"sources:\n  am:\n    api_url: http://user:{SECRET}@host:port",
    f"store: mysql://user:{SECRET}@host/name",
    f"store: [ postgresql://user:{SECRET}@host/name ]",
    f"redis: http://user:{SECRET}@host",
    f"prometheus:\n  default: {{ url: 'http://x', proxy_url: 'socks5://user:{SECRET}@proxy' }}",
    f"prometheus:\n  default: {{ url: 'http://x', http_headers: {{ 'X-Key: {SECRET}': {{ values: [ a ] }} }} }}",
    f"prometheus:\n  default: {{ url: 'http://x', http_headers: {{ X-Key: {SECRET} }} }}",
    f"prometheus:\n  default: {{ url: 'http://x', http_headers: {{ X-Key: {{ secrets: {SECRET} }} }} }}",
    f"connections:\n  postgres: {{ a: {{ dsn: 'mysql://user:{SECRET}@host' }} }}",
    f"connections:\n  http: {{ a: {{ url: 'http://x', allow: [ 'GEET /x?key={SECRET}' ] }} }}",
    f"connections:\n  host: {{ a: 'ssh://user:{SECRET}@host' }}",
    f"commands: {{ a: {{ argv: [ '{SECRET}' ] }} }}",
    f"commands: {{ a: {{ argv: [ /bin/true ], environment: [ 'KEY={SECRET}' ] }} }}",
    f"notify:\n  teams: {{ a: '{SECRET}' }}\nroutes: [ {{ teams: 'https://x/{SECRET}' }} ]",
    f"notify:\n  teams: 'https://x/{SECRET}'",
    f"notify:\n  slack: {{ token: a, mention: 'xoxb {SECRET}' }}",
    f"notify:\n  email: {{ host: a, from: 'a:{SECRET}' }}",
    f"page: {{ pagerduty: 'https://x/{SECRET}' }}",
    f"routes: [ {{ active_time_intervals: 'https://x/{SECRET}' }} ]",
    f"privacy: {{ patterns: [ '({SECRET}' ], labels: [ 'a {SECRET}' ] }}",
)


def _told(said: str) -> None:
    for planted in (SECRET, *NUMBERS, *ALSO):
        assert planted not in said
        assert planted[:10] not in said


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_setting_is_named_by_its_place_and_never_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "responder.yml"
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_settings(file, {})
    # The log line `reload` and the answer of POST /-/reload hold this text, and so does what doctor prints.
    _told(str(raised.value))
    assert isinstance(raised.value, WrongSettings)
    assert all(one.line >= 1 and one.column >= 1 for one in raised.value.complaints)
    _told(repr(raised.value.complaints))


@pytest.mark.parametrize("text", WRONG)
def test_check_does_not_repeat_it_either(tmp_path: Path, text: str) -> None:
    (tmp_path / "responder.yml").write_text(text)
    found = CliRunner().invoke(app, ["check", "--config.file", str(tmp_path / "responder.yml"), str(tmp_path)])
    assert found.exit_code
    _told(f"{found.output}{found.exception}")


@pytest.mark.parametrize("sign", list("&*!%@`{['"))
def test_nor_is_a_hash_of_the_web_configuration(tmp_path: Path, sign: str) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  ana: {sign}{SECRET}\n")
    with pytest.raises(SettingsError) as raised:
        read_web_config(file)
    _told(str(raised.value))


def test_a_mistyped_key_is_named_with_the_one_that_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "responder.yml"
    file.write_text("sources: { am: { authorization: { credentails: x } } }")
    with pytest.raises(SettingsError, match=r'unknown key "credentails".*did you mean "credentials"'):
        load_settings(file, {})
