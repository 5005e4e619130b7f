"""The files in alertmanager/, read as people use them; tests change addresses, intervals and secrets, nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from tests.bed.web import JsonObject

FOLDER = Path(__file__).parents[1] / "alertmanager"
ALERTMANAGER = FOLDER / "alertmanager.yml"
PROMETHEUS = FOLDER / "prometheus.yml"
NOWHERE = "127.0.0.1:9"
"""The discard port: nobody listens there."""


def read(path: Path) -> JsonObject:
    """Read one of the files."""
    found: JsonObject = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def rule_files() -> Sequence[Path]:
    """Return the files of rules that prometheus.yml names."""
    return [FOLDER / name for name in read(PROMETHEUS)["rule_files"]]


def rules() -> Sequence[JsonObject]:
    """Return every rule."""
    return [rule for path in rule_files() for group in read(path)["groups"] for rule in group["rules"]]


def alertmanager_config(webhook: str, token: str) -> JsonObject:
    """Return alertmanager.yml, posting to `webhook` with `token`, and quick to do so."""
    config = read(ALERTMANAGER)
    for route in _routes(config["route"]):
        route.update(group_wait="100ms", group_interval="1s", repeat_interval="1h")
    for receiver in config["receivers"]:
        for one in receiver.get("webhook_configs", ()):
            one["url"] = webhook if receiver["name"] == "responder" else f"http://{NOWHERE}/"
            access = one.get("http_config", {}).get("authorization", {})
            if access.pop("credentials_file", None):
                access["credentials"] = token
    return config


def prometheus_config(targets: Mapping[str, str], alertmanager: str, interval: str) -> JsonObject:
    """Return prometheus.yml with addresses by job (`NOWHERE` for the others) and another interval."""
    config = read(PROMETHEUS)
    config["global"].update(scrape_interval=interval, scrape_timeout=interval, evaluation_interval=interval)
    for one in config["alerting"]["alertmanagers"]:
        one["static_configs"] = [{"targets": [alertmanager]}]
    for job in config["scrape_configs"]:
        for place in job["static_configs"]:
            place["targets"] = [targets.get(job["job_name"], NOWHERE)]
    return config


def quick(rule_file: Path) -> JsonObject:
    """Return a file of rules whose alerts fire as soon as they are true."""
    content = read(rule_file)
    for group in content["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    return content


def _routes(route: JsonObject) -> Iterator[JsonObject]:
    yield route
    for child in route.get("routes", ()):
        yield from _routes(child)
