"""Where to look further: the run, the graph, the runbook, and where to silence the alert. Pure."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlencode, urlsplit

from responder.domain.episodes import Episode
from responder.domain.notification import Account
from responder.domain.runs import Run
from responder.tell.docs import Docs

URL = 2000
_GRAFANA = "grafana_folder"
"""A label that Grafana gives every alert of its own (grafana.com, alerting, labels)."""


def links(
    account: Account, run: Run | None, worst: Episode | None, docs: Docs, external_url: str
) -> Iterator[tuple[str, str]]:
    """Give (text, URL) pairs; what came with the alert is shown only where it is a link and nothing else."""
    base = external_url.rstrip("/")
    if base and run is not None:
        yield "run", f"{base}/runs/{quote(run.id)}"
    if base:
        yield "incident", f"{base}/incidents/{quote(account.incident.id)}"
    if base and any(one.kind == "chart" for one in account.findings):
        yield "chart", f"{base}/api/v1/incidents/{quote(account.incident.id)}/chart.svg"
    annotations = worst.annotations if worst else {}
    silences = bool(worst) and account.incident.open
    for text, url in (
        ("graph", worst.generator_url if worst else ""),
        ("runbook", docs.runbook_url or annotations.get("runbook_url", "")),
        ("dashboard", annotations.get("dashboard_url", "")),
        ("silence", silence(account.incident.external_url, worst.labels) if silences and worst else ""),
    ):
        if is_link(url):
            yield text, url


def silence(external_url: str, labels: Mapping[str, str]) -> str:
    """Return where the sender makes a silence for an alert with these labels, filled in; empty when it names no place.

    The addresses are those of Alertmanager's page (``#/silences/new?filter=``) and Grafana's
    (``/alerting/silence/new``).
    """
    base = external_url.rstrip("/")
    if not base:
        return ""
    named = sorted(labels.items())
    if _GRAFANA in labels:
        matchers = [("alertmanager", "grafana"), *(("matcher", f"{name}={value}") for name, value in named)]
        return f"{base}/alerting/silence/new?{urlencode(matchers, quote_via=quote)}"
    text = ", ".join(f'{name}="{_escaped(value)}"' for name, value in named)
    return f"{base}/#/silences/new?filter={quote(f'{{{text}}}', safe='')}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def is_link(url: str) -> bool:
    """Say whether a URL that came with an alert may be shown as a link."""
    if not url or len(url) > URL or not url.isprintable() or set(url) & set(" <>|\"'`\\"):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
