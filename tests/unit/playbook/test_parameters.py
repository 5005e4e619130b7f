"""What may be set where: said by ``responder check``, and not only when it is tried."""

from pathlib import Path

import pytest

from responder.app import catalogue, names_of
from responder.playbook.schema import examine
from responder.settings import load_settings

SETTINGS = """\
connections:
  redis:
    cache: { url: redis://a, matchers: [ x=1 ], parameters: [ HZ ] }
    other: { url: redis://b, matchers: [ x=2 ] }
  postgres:
    main: { dsn: postgresql://a/b, parameters: [ work_mem ] }
"""
PLAYBOOK = """\
schema: 1
name: set-it
mode: approve
matchers:
  - alertname="A"
target: TARGET
limits:
  cooldown: 15m
steps:
  - ACTION:
      parameter: PARAMETER
      value: 1
verify:
  - probe: redis.info
    with: { connection: cache, figure: hit_ratio }
    above: 0
"""


@pytest.mark.parametrize(
    ("target", "action", "parameter", "hint"),
    [
        ("redis/cache", "redis.config_set", "hz", ""),
        ("redis/cache/deeper", "redis.config_set", "timeout", "connections.redis.cache.parameters"),
        ("redis/other", "redis.config_set", "timeout", ""),
        ("redis/other", "redis.config_set", "repl-timeout", "connections.redis.other.parameters"),
        ('"redis/{{ connection }}"', "redis.config_set", "timeout", ""),
        ('"redis/{{ connection }}"', "redis.config_set", "repl-timeout", "connections.redis.NAME.parameters"),
        ("redis/cache", "redis.config_set", '"{{ labels.p }}"', ""),
        ("postgres/main", "postgres.set_parameter", "work_mem", ""),
        ("postgres/main", "postgres.set_parameter", "random_page_cost", "connections.postgres.main.parameters"),
    ],
)
def test_a_parameter_that_the_connection_does_not_allow_is_refused(
    tmp_path: Path, target: str, action: str, parameter: str, hint: str
) -> None:
    (tmp_path / "responder.yml").write_text(SETTINGS)
    names = names_of(load_settings(tmp_path / "responder.yml", {}))
    text = PLAYBOOK.replace("TARGET", target).replace("ACTION", action).replace("PARAMETER", parameter)
    _, complaints = examine(text, "it.yaml", catalogue(), names)
    found = [one for one in complaints if one.severity == "error"]
    assert [one.rule for one in found] == (["not-allowed"] if hint else [])
    assert all(hint in one.hint for one in found)
    assert examine(text, "it.yaml", catalogue(), None)[0] is not None, "without a configuration nobody can tell"
