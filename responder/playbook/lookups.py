"""The names that a playbook takes from the configuration: connections, clusters, time intervals and channels."""

import re
from collections.abc import Collection, Iterable, Iterator

from responder.domain.targets import KUBERNETES_KINDS, SEPARATOR, covered
from responder.language.allow import allows, known_part, may_allow, plain_path
from responder.language.strict_yaml import Path
from responder.language.suggest import did_you_mean
from responder.playbook.approvers import check_approvers
from responder.playbook.command_names import check_commands
from responder.playbook.complaints import Findings
from responder.playbook.names import Names
from responder.playbook.rules import Keys, condition_lists, items, mapping
from responder.ports.catalogue import Catalogue

SERVICE_INPUT = "service"
"""The input by which the actions and probes of ``http.…`` name a connection."""
SOURCE_INPUT = "source"
"""The input by which the actions and probes of Alertmanager name a source."""
CONNECTION_INPUT, DATABASES = "connection", ("redis", "postgres")
"""The input by which the probes of databases name a connection, and what they begin with."""
CALL_INPUTS, PATH_INPUT = ("read", "send", "undo"), "path"
"""The inputs that say what is called: as method and path, and as the path of a GET."""
_CALL = re.compile(r"([A-Z]+) +(/\S*)\s*")
PARAMETER_INPUT = "parameter"
"""The input by which an action names what it sets."""
KUBERNETES = "kubernetes."
PROMETHEUS_PROBE = "prometheus.query"
NO_PROMETHEUS = "no-prometheus"
"""The rule of complaints about queries that nobody can answer."""
NAMED = ("webhook", "teams", "slack_webhook", "apprise")
"""The channels whose destinations have names in the configuration."""
INTERVAL_KEYS = ("active_time_intervals", "mute_time_intervals")


def check_names(findings: Findings, data: Keys, names: Names, catalogue: Catalogue) -> None:
    """Complain about every name that the configuration does not have."""
    for key in INTERVAL_KEYS:
        for index, item in enumerate(items(data.get(key))):
            if isinstance(item, str):
                _check_interval(findings, (key, index), item, names)
    _check_notify(findings, mapping(data.get("notify")), names)
    check_approvers(findings, data, names)
    cluster = data.get("cluster")
    if isinstance(cluster, str) and "{{" not in cluster:
        _check_one(findings, ("cluster",), cluster, names.clusters, what="cluster", rule="unknown-cluster")
    _check_target(findings, data.get("target"), names)
    if items(data.get("steps")):
        _check_protected(findings, data.get("target"), data.get("cluster"), names.protect)
    for path, used, arguments in _uses(data, catalogue):
        service = arguments.get(SERVICE_INPUT)
        if used.startswith("http.") and isinstance(service, str):
            _check_connection(findings, (*path, SERVICE_INPUT), service, "http", names)
            _check_calls(findings, path, arguments, service, names)
        source = arguments.get(SOURCE_INPUT)
        if used.startswith("alertmanager.") and isinstance(source, str):
            _check_connection(findings, (*path, SOURCE_INPUT), source, "alertmanager", names)
        connection = arguments.get(CONNECTION_INPUT)
        kind = used.partition(".")[0]
        if kind in DATABASES and isinstance(connection, str):
            _check_connection(findings, (*path, CONNECTION_INPUT), connection, kind, names)
    _check_clusters(findings, data, names, catalogue)
    check_commands(findings, data, names.commands)
    _check_parameters(findings, data, names, catalogue)
    _check_verify(findings, data, names)
    _check_queries(findings, data, names)


def _uses(data: Keys, catalogue: Catalogue) -> Iterable[tuple[Path, str, Keys]]:
    """Go through every action and probe that is used, with its inputs."""
    for index, step in enumerate(items(data.get("steps"))):
        for key, arguments in mapping(step).items():
            if key in catalogue.actions:
                yield ("steps", index, key), key, mapping(arguments)
        listed = mapping(mapping(step).get("items"))
        if isinstance(listed.get("probe"), str):
            yield ("steps", index, "items", "with"), str(listed["probe"]), mapping(listed.get("with"))
    for index, look in enumerate(items(data.get("diagnose"))):
        for key, arguments in mapping(look).items():
            if key in catalogue.probes:
                yield ("diagnose", index, key), key, mapping(arguments)
    for path, condition in condition_lists(data):
        probe = condition.get("probe")
        if isinstance(probe, str):
            yield (*path, "with"), probe, mapping(condition.get("with"))


def _check_interval(findings: Findings, path: Path, name: str, names: Names) -> None:
    _check_one(findings, path, name, names.time_intervals, what="time interval", rule="unknown-interval")
    if name in names.time_intervals and not names.time_intervals[name]:
        findings.add(path, f'the time interval "{name}" holds no times at all', "unknown-interval")


def _check_target(findings: Findings, target: object, names: Names) -> None:
    """A target over a connection names one that exists."""
    if not isinstance(target, str):
        return
    kind, _, rest = target.partition("/")
    name = rest.partition("/")[0]
    if kind in names.connections and name:
        _check_connection(findings, ("target",), name, kind, names)


def _check_protected(findings: Findings, target: object, cluster: object, protect: Collection[str]) -> None:
    """Warn of a target, as far as it is written out, that the configuration protects: nothing is ever done to it."""
    if not isinstance(target, str) or "{{" in target:
        return
    where = cluster if isinstance(cluster, str) and "{{" not in cluster else ""
    aimed = where and target.partition(SEPARATOR)[0] in KUBERNETES_KINDS
    key = f"{where}{SEPARATOR}{target}" if aimed else target
    pattern = next((one for one in protect if covered(key, one)), None)
    if pattern is not None:
        message = f'target: {key} is protected by "{pattern}" in the configuration: it is never changed'
        hint = "take another target, leave the steps out, or take it out of protect:"
        findings.add(("target",), message, "protected", hint, severity="warning")


def _check_connection(findings: Findings, path: Path, name: str, kind: str, names: Names) -> None:
    if "{{" not in name:
        known = names.connections.get(kind, frozenset())
        _check_one(findings, path, name, known, what=f"{kind} connection", rule="unknown-connection")


def _check_clusters(findings: Findings, data: Keys, names: Names, catalogue: Catalogue) -> None:
    """Warn, once a file, where Kubernetes is looked at or changed and there is no cluster."""
    if names.clusters:
        return
    used = [(*path[:2], used) for path, used, _ in _uses(data, catalogue) if used.startswith(KUBERNETES)]
    looks = [(*path, "probe") for path, one in condition_lists(data) if str(one.get("probe")).startswith(KUBERNETES)]
    target = data.get("target")
    aimed = isinstance(target, str) and target.partition(SEPARATOR)[0] in KUBERNETES_KINDS
    places: list[Path] = [*([("target",)] if aimed else []), *used, *looks]
    if places:
        hint = "add kubernetes: { clusters: { NAME: … } } to the configuration"
        place = next((one for one in places if one[-1] in ("probe", "target")), places[0])
        message = "no cluster is configured: nothing of Kubernetes can be asked or changed"
        findings.add(place, message, "no-cluster", hint, at_key=True, severity="warning")


def _check_calls(findings: Findings, path: Path, arguments: Keys, service: str, names: Names) -> None:
    """What is called, as far as it is written out, is on the allow list: during an incident is too late to hear of it.

    A line that the action itself does not understand is complained about there.
    """
    allowed = names.allow.get(service)
    if allowed is None:
        return
    calls = [(key, arguments.get(key)) for key in CALL_INPUTS]
    probed = arguments.get(PATH_INPUT)
    calls.append((PATH_INPUT, f"GET {probed}" if isinstance(probed, str) else None))
    for key, line in calls:
        call = _not_allowed(line, allowed) if isinstance(line, str) else ""
        if call:
            message = f'{key}: the connection "{service}" does not allow {call}'
            hint = f'add "{call}" to connections.http.{service}.allow; it allows {", ".join(allowed) or "nothing"}'
            findings.add((*path, key), message, "not-allowed", hint)


def _not_allowed(line: str, allowed: Collection[str]) -> str:
    """Return what would have to be allowed for ``line``; empty when it is, or may be with what a template gives."""
    if "{{" in line:
        known = known_part(line)
        if known is None or may_allow(allowed, *known):
            return ""
        return f"{known[0]} {plain_path(known[1]) or '/'}*"
    shape = _CALL.fullmatch(line)
    return "" if shape is None or allows(allowed, shape[1], shape[2]) else f"{shape[1]} {plain_path(shape[2])}"


def _check_parameters(findings: Findings, data: Keys, names: Names, catalogue: Catalogue) -> None:
    """A parameter that is set is one that the target's connection allows; any of them, where the alert decides."""
    target = data.get("target")
    kind, _, rest = target.partition("/") if isinstance(target, str) else ("", "", "")
    connection = rest.partition("/")[0]
    here = names.parameters.get(kind, {})
    allowing = {connection: here[connection]} if connection in here else here if "{{" in connection else {}
    for path, used, arguments in _uses(data, catalogue):
        action, parameter = catalogue.actions.get(used), arguments.get(PARAMETER_INPUT)
        if action is None or not action.usual or not isinstance(parameter, str) or "{{" in parameter or not allowing:
            continue
        if any(parameter.lower() in (action.usual if one is None else one) for one in allowing.values()):
            continue
        where = f"connections.{kind}.{connection if connection in here else 'NAME'}.parameters"
        message = f"{parameter} is not among the parameters that may be set here"
        findings.add((*path, PARAMETER_INPUT), message, "not-allowed", f"name it in {where}")


def _check_notify(findings: Findings, notify: Keys, names: Names) -> None:
    if notify.get("slack") and not names.slack:
        message = "slack: the configuration has no notify.slack"
        findings.add(("notify", "slack"), message, "unknown-destination", at_key=True)
    pagerduty = notify.get("pagerduty")
    service = pagerduty if isinstance(pagerduty, str) else mapping(pagerduty).get("service")
    if isinstance(service, str):
        path = ("notify", "pagerduty") if isinstance(pagerduty, str) else ("notify", "pagerduty", "service")
        _check_one(findings, path, service, names.pagerduty, what="PagerDuty service", rule="unknown-destination")
    if notify.get("email") and not names.email:
        message, hint = "email: the configuration has no notify.email", "add notify: { email: { host: …, from: … } }"
        findings.add(("notify", "email"), message, "unknown-destination", hint, at_key=True)
    for kind in NAMED:
        _check_named(findings, kind, notify.get(kind), names.channels.get(kind, frozenset()))


def _check_named(findings: Findings, kind: str, given: object, known: frozenset[str]) -> None:
    if given and not known:
        message, hint = f"{kind}: the configuration has no notify.{kind}", f"add notify: {{ {kind}: {{ NAME: … }} }}"
        findings.add(("notify", kind), message, "unknown-destination", hint, at_key=True)
        return
    named: list[tuple[Path, object]] = [(("notify", kind, place), one) for place, one in enumerate(items(given))]
    for path, one in named or [(("notify", kind), given)]:
        if isinstance(one, str):
            _check_one(findings, path, one, known, what=f"destination notify.{kind}", rule="unknown-destination")


def _check_one(findings: Findings, path: Path, name: str, known: Iterable[str], *, what: str, rule: str) -> None:
    choices = sorted(known)
    if name in choices:
        return
    near = did_you_mean(name, choices)
    hint = f'did you mean "{near}"?' if near else f"configured: {', '.join(choices) or 'none'}"
    findings.add(path, f'the configuration has no {what} "{name}"', rule, hint)


def _check_verify(findings: Findings, data: Keys, names: Names) -> None:
    """Without ``verify`` the alert's own rule is evaluated, and that takes a Prometheus."""
    steps = items(data.get("steps"))
    own = any(mapping(step).get("verify") for step in steps)
    if data.get("mode") == "auto" and steps and not data.get("verify") and not own and not names.prometheus:
        message = "mode auto without verify: no Prometheus is configured to evaluate the alert's own rule"
        findings.add(
            ("mode",),
            message,
            "verify-missing",
            "add verify:, or nobody can tell whether it helped",
            severity="warning",
        )


def _queries(data: Keys) -> Iterator[Path]:
    """Go through the places that ask Prometheus."""
    for path, condition in condition_lists(data):
        if "query" in condition:
            yield (*path, "query")
        if condition.get("probe") == PROMETHEUS_PROBE:
            yield (*path, "probe")
        if items(condition.get("requires")):
            yield (*path, "requires")
    for index, look in enumerate(items(data.get("diagnose"))):
        yield from (("diagnose", index, key) for key in ("query", PROMETHEUS_PROBE) if key in mapping(look))


def _check_queries(findings: Findings, data: Keys, names: Names) -> None:
    """Warn, once a file, when there is no Prometheus to ask."""
    first = next(_queries(data), None)
    if first is not None and not names.prometheus:
        message = "no Prometheus is configured: what it is asked for stays unknown"
        hint = "add prometheus: to the configuration"
        findings.add(first, message, NO_PROMETHEUS, hint, at_key=True, severity="warning")
