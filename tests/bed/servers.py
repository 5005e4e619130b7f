"""Redis, Prometheus and Alertmanager as the tests run them: private, on free loopback ports, quick to answer."""

import contextlib
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from tests.bed.processes import START, Child, ServerError, account, free_port, private_directory, program, start
from tests.bed.web import JsonObject

REDIS_VARIABLE = "RESPONDER_TEST_REDIS"
"""Environment variable: URL of a Redis that the tests may flush."""

_NULL_RECEIVER = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


def missing(name: str) -> None:
    """Skip the test because a server is not installed; under CI fail instead, for there nothing may go untested."""
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed, and CI is set")
    pytest.skip(f"{name} is not installed")


@dataclass(slots=True)
class Redis:
    """A running Redis; `child` is None for one that we did not start."""

    url: str
    child: Child | None = None


@contextlib.contextmanager
def private_redis() -> Iterator[Redis]:
    """Run a Redis that keeps nothing on disk; FileNotFoundError when it is not installed."""
    binary = _binary("redis-server")
    run_as = account("redis", "nobody")
    with private_directory("redis", run_as) as directory:
        port = free_port()
        keep_nothing = ["--save", "", "--appendonly", "no"]
        argv: list[str | Path] = [binary, "--port", str(port), "--bind", "127.0.0.1", *keep_nothing]
        child = start("redis", argv, directory=directory, run_as=run_as)
        try:
            child.wait_for_port(port)
            yield Redis(f"redis://127.0.0.1:{port}/0", child)
        finally:
            child.stop()


@dataclass(slots=True)
class Alertmanager:
    """A running Alertmanager."""

    url: str
    child: Child
    config: Path

    def configure(self, config: Mapping[str, object]) -> None:
        """Replace the configuration, see `alertmanager_config`; takes hold before this returns."""
        _write(self.config, config)
        self.reload()

    def reload(self) -> None:
        """Read the configuration again; raises ServerError with the answer when it is wrong."""
        _post(f"{self.url}/-/reload")

    def post(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """Hand it alerts as Prometheus does: ``{"labels": …, "annotations": …}``, optional startsAt and endsAt."""
        _post(f"{self.url}/api/v2/alerts", json.dumps(alerts).encode())


def alertmanager_config(
    webhook_url: str,
    *,
    receiver: str = "responder",
    group_by: Sequence[str] = ("alertname",),
    group_interval: str = "1s",
    http_config: Mapping[str, object] | None = None,
    **webhook: object,
) -> JsonObject:
    """Return a configuration that notifies `webhook_url` almost at once; `webhook` are more keys of webhook_configs."""
    target = {"url": webhook_url, "send_resolved": True, **({"http_config": http_config} if http_config else {})}
    return {
        "route": {
            "receiver": receiver,
            "group_by": list(group_by),
            "group_wait": "100ms",
            "group_interval": group_interval,
            "repeat_interval": "1h",
        },
        "receivers": [{"name": receiver, "webhook_configs": [{**target, **webhook}]}],
    }


@contextlib.contextmanager
def private_alertmanager(config: Mapping[str, object] | None = None, port: int = 0) -> Iterator[Alertmanager]:
    """Run an Alertmanager without a cluster; FileNotFoundError when it is not installed."""
    binary = _binary("prometheus-alertmanager", "alertmanager")
    run_as = account("nobody")
    with private_directory("alertmanager", run_as) as directory:
        address = f"127.0.0.1:{port or free_port()}"
        path = directory / "alertmanager.json"
        _write(path, config or _NULL_RECEIVER)
        argv: list[str | Path] = [
            binary,
            f"--config.file={path}",
            f"--storage.path={directory}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",  # else it gossips on port 9094
        ]
        child = start("alertmanager", argv, directory=directory, run_as=run_as)
        try:
            child.wait_until(lambda: _ready(f"http://{address}/-/ready"))
            yield Alertmanager(f"http://{address}", child, path)
        finally:
            child.stop()


@dataclass(slots=True)
class Prometheus:
    """A running Prometheus. It scrapes and evaluates every half second."""

    url: str
    child: Child
    directory: Path
    alertmanager: str = ""
    interval: str = "500ms"
    files: list[Path] = field(default_factory=list)

    def configure(
        self,
        targets: Mapping[str, str] | None = None,
        rules: Sequence[Mapping[str, object]] = (),
        *,
        rule_files: Sequence[Path] = (),
        external_labels: Mapping[str, str] | None = None,
        alertmanager: str | None = None,
    ) -> None:
        """Scrape `targets` (job → ``host:port`` or URL), evaluate `rules` (of one group) and `rule_files`, then reload.

        `alertmanager` is a URL; None keeps the one it had, empty means none. A new one is first spoken to after some
        five seconds: its discovery runs that seldom.
        """
        if alertmanager is not None:
            self.alertmanager = alertmanager
        for stale in self.files:
            stale.unlink(missing_ok=True)
        own = self.directory / "rules.json"
        copies = [self.directory / f"rules-{number}.yml" for number, _ in enumerate(rule_files)]
        _write(own, {"groups": [{"name": "bed", "interval": self.interval, "rules": list(rules)}]})
        for source, copy in zip(rule_files, copies, strict=True):
            copy.write_bytes(source.read_bytes())  # the server's user may not read where the original is
        self.files = [own, *copies]
        _write(self.directory / "prometheus.json", self._config(targets or {}, external_labels or {}))
        self.reload()

    def load(self, config: Mapping[str, object], rule_files: Mapping[str, Mapping[str, object]]) -> None:
        """Take a whole configuration instead of `configure`'s, with its files of rules by name, then reload."""
        for stale in self.files:
            stale.unlink(missing_ok=True)
        self.files = [self.directory / name for name in rule_files]
        for path, content in zip(self.files, rule_files.values(), strict=True):
            _write(path, content)
        _write(self.directory / "prometheus.json", {**config, "rule_files": [str(path) for path in self.files]})
        self.reload()

    def reload(self) -> None:
        """Read configuration and rules again; raises ServerError with the answer when they are wrong."""
        _post(f"{self.url}/-/reload")

    def query(self, expression: str) -> list[JsonObject]:
        """Return the instant vector of `expression`, as the API gives it."""
        query = urllib.parse.urlencode({"query": expression})
        answer = json.loads(_get(f"{self.url}/api/v1/query?{query}"))
        result: list[JsonObject] = answer["data"]["result"]
        return result

    def _config(self, targets: Mapping[str, str], external_labels: Mapping[str, str]) -> JsonObject:
        config: JsonObject = {
            "global": {
                "scrape_interval": self.interval,
                "scrape_timeout": self.interval,
                "evaluation_interval": self.interval,
                "external_labels": dict(external_labels),
            },
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [_host(target)]}]} for job, target in targets.items()
            ],
            "rule_files": [str(path) for path in self.files],
        }
        if self.alertmanager:
            config["alerting"] = {
                "alertmanagers": [{"static_configs": [{"targets": [_host(self.alertmanager)]}]}],
            }
        return config


@contextlib.contextmanager
def private_prometheus(alertmanager: str = "") -> Iterator[Prometheus]:
    """Run a Prometheus that sends alerts to the URL `alertmanager`; FileNotFoundError when it is not installed."""
    binary = _binary("prometheus")
    run_as = account("nobody")
    with private_directory("prometheus", run_as) as directory:
        address = f"127.0.0.1:{free_port()}"
        path = directory / "prometheus.json"
        _write(path, {"alerting": {}})
        argv: list[str | Path] = [
            binary,
            f"--config.file={path}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={address}",
            "--web.enable-lifecycle",
            "--rules.alert.resend-delay=1s",
        ]
        child = start("prometheus", argv, directory=directory, run_as=run_as)
        try:
            child.wait_until(lambda: _ready(f"http://{address}/-/ready"))
            server = Prometheus(f"http://{address}", child, directory)
            server.configure(alertmanager=alertmanager)
            yield server
        finally:
            child.stop()


def _binary(*names: str) -> Path:
    for name in names:
        found = program(name, "usr/bin", "usr/local/bin", "opt/*")
        if found is not None:
            return found
    raise FileNotFoundError(names[0])


def _host(target: str) -> str:
    return target.rpartition("//")[2].partition("/")[0]


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1))  # JSON is YAML


def _ready(url: str) -> bool:
    with contextlib.suppress(OSError):
        _get(url)
        return True
    return False


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 -- URLs of our own servers
        content: bytes = answer.read()
        return content


def _post(url: str, body: bytes = b"", within: timedelta = START) -> None:
    request = urllib.request.Request(  # noqa: S310 -- URLs of our own servers
        url, data=body, method="POST", headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=within.total_seconds()):  # noqa: S310 -- as above
            return
    except urllib.error.HTTPError as error:
        with error:
            raise ServerError(f"{url}: {error.code} {error.read().decode(errors='replace')}") from error
