"""``diagnose``: looks whose results people read. What must hold between their keys, and how they become values."""

from collections.abc import Iterator, Mapping
from typing import cast

from pydantic import JsonValue

from responder.language.strict_yaml import Path
from responder.language.templates import Template
from responder.playbook.arguments import check_arguments
from responder.playbook.complaints import Findings
from responder.playbook.model import Diagnosis
from responder.playbook.rules import Keys, items, mapping
from responder.playbook.shape import DiagnosisShape, PlaybookShape, key_names
from responder.ports.catalogue import Catalogue
from responder.ports.probe import Probe

KEYS = key_names(DiagnosisShape)
QUERY, QUERY_PROBE = "query", "prometheus.query"
OF = "of"
"""The input by which a probe names an object: the playbook's target where it is left out."""
CLUSTER = "cluster"


def check_diagnose(findings: Findings, data: Keys, catalogue: Catalogue) -> Iterator[tuple[Path, Template]]:
    """Complain about the looks, and go through the templates in their inputs."""
    for index, written in enumerate(items(data.get("diagnose"))):
        if not isinstance(written, Mapping):
            continue
        path: Path = ("diagnose", index)
        used = _one_probe(findings, path, written, catalogue)
        if used is not None and used in catalogue.probes:
            probe = catalogue.probes[used]
            where = path if used == QUERY_PROBE and QUERY in written else (*path, used)
            yield from check_arguments(findings, where, probe, arguments_of(written, used, probe, data))


def _one_probe(findings: Findings, path: Path, written: Keys, catalogue: Catalogue) -> str | None:
    """Return the probe of a look when it has exactly one that is known."""
    others = [key for key in written if key not in KEYS]
    known = [key for key in others if key in catalogue.probes]
    for key in others:
        if key not in known:
            findings.add_unknown_key((*path, key), key, (*catalogue.probes, *KEYS), DiagnosisShape.reserved)
    used = [*known, *([QUERY_PROBE] if QUERY in written else [])]
    if len(used) > 1:
        place = (*path, known[1] if len(known) > 1 else QUERY)
        message = f"a look has one probe, and {used[0]} is already here"
        findings.add(place, message, "diagnose-probe", "make it a look of its own", at_key=True)
        return None
    if not others and not used:
        hint = f"query: …, or one of {', '.join(sorted(catalogue.probes)) or 'no probes'}"
        findings.add(path, "a look has exactly one probe or query, and this has none", "diagnose-probe", hint)
    return used[0] if used else None


def arguments_of(written: Keys, used: str, probe: type[Probe], playbook: Keys) -> Mapping[str, JsonValue]:
    """Return the inputs of a look; a probe of an object looks at the playbook's target where no other one is named."""
    if used == QUERY_PROBE and QUERY in written:
        return {QUERY: cast("JsonValue", written[QUERY])}
    given = written.get(used)
    if given is not None and not isinstance(given, Mapping):
        return cast("Mapping[str, JsonValue]", given)  # complained about where inputs are checked
    found = dict(mapping(given))
    if OF in probe.model_fields and OF not in found:
        about = {OF: playbook.get("target"), CLUSTER: playbook.get("cluster")}
        found |= {key: text for key, text in about.items() if isinstance(text, str) and key in probe.model_fields}
    return cast("Mapping[str, JsonValue]", found)


def build_diagnose(shape: PlaybookShape, catalogue: Catalogue) -> tuple[Diagnosis, ...]:
    """Turn checked looks into values."""
    places = {"target": shape.target, "cluster": shape.cluster}
    about = {key: template.text for key, template in places.items() if template is not None}
    return tuple(_build(one, about, catalogue) for one in shape.diagnose)


def _build(shape: DiagnosisShape, playbook: Keys, catalogue: Catalogue) -> Diagnosis:
    extra = shape.model_extra or {}
    used = next(iter(extra), QUERY_PROBE)
    probe = catalogue.probes[used]
    written = {**extra, **({QUERY: shape.query} if shape.query is not None else {})}
    arguments = arguments_of(written, used, probe, playbook)
    return Diagnosis(shape.name or shape.query or used, probe, arguments)
