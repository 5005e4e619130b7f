"""Steps that are done to each item of a list: what must hold between their keys."""

from collections.abc import Iterator

from responder.language.strict_yaml import Path
from responder.language.suggest import did_you_mean
from responder.language.templates import Template
from responder.playbook.arguments import check_arguments
from responder.playbook.complaints import Findings
from responder.playbook.rules import Keys, items, mapping
from responder.ports.catalogue import Catalogue


def check_items(
    findings: Findings, path: Path, written: Keys, data: Keys, catalogue: Catalogue
) -> Iterator[tuple[Path, Template]]:
    """Complain about the list of one step, and go through the templates in its probe's inputs."""
    if "steps_until" in data:
        message = "items: with steps_until a step is one of several means, and a list of items is not one means"
        findings.add((*path, "items"), message, "items-until", "make it a playbook of its own", at_key=True)
    if not items(written.get("verify")):
        message = "items: without a verify of the step, the playbook's must hold after the first item already"
        hint = "add verify: to the step, such as not_worse_by, or the state of the one item's service"
        findings.add((*path, "items"), message, "items-unchecked", hint, at_key=True, severity="warning")
    keys = mapping(written.get("items"))
    name = keys.get("probe")
    if not isinstance(name, str):
        return
    listing = {one for one, probe in catalogue.probes.items() if probe.lists}
    if name not in listing:
        near = did_you_mean(name, listing)
        hint = f'did you mean "{near}"?' if near else f"probes that do: {', '.join(sorted(listing)) or 'none'}"
        findings.add((*path, "items", "probe"), f'no probe "{name}" finds a list of items', "unknown-probe", hint)
        return
    inputs: Path = (*path, "items", "with") if "with" in keys else (*path, "items", "probe")
    yield from check_arguments(findings, inputs, catalogue.probes[name], keys.get("with", {}))


def listed_ids(data: Keys, ids: tuple[str, ...]) -> frozenset[str]:
    """Return the ids of the steps that are done to a list."""
    return frozenset(
        step_id for step_id, step in zip(ids, items(data.get("steps")), strict=False) if "items" in mapping(step)
    )
