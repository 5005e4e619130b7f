"""Loading one playbook: strict YAML, the shape, the rules between the keys, the names, then the value."""

import re
from collections.abc import Mapping

from pydantic import ValidationError

from responder.domain.errors import Complaint, PlaybookError
from responder.language.strict_yaml import Document, load, load_bytes
from responder.playbook.alerts import check_alerts
from responder.playbook.build import build
from responder.playbook.complaints import Findings
from responder.playbook.conditions import check_condition
from responder.playbook.diagnose import check_diagnose
from responder.playbook.lists import listed_ids
from responder.playbook.lookups import check_names
from responder.playbook.model import Playbook
from responder.playbook.names import Names
from responder.playbook.owners import check_owners, owner_words
from responder.playbook.portions import gradual_ids
from responder.playbook.references import check_references, top_templates
from responder.playbook.rules import Keys, check_empty, check_top, condition_lists, items
from responder.playbook.shape import PlaybookShape
from responder.playbook.steps import check_steps, step_ids
from responder.ports.catalogue import Catalogue

__all__ = ["Names", "examine", "load_playbook", "name_place"]

_CONFIGURATION = re.compile(r"^(sources|connections)[ \t]*:", re.MULTILINE)
"""Keys of a configuration that no playbook has; one without either of them is read as a playbook, and complained of."""


def _not_a_playbook(file: str) -> Complaint:
    """Return the complaint about a configuration; nothing of it is repeated, for it holds secrets."""
    message = "this is a configuration, and no playbook"
    hint = "keep it out of the folders of playbooks; responder check looks at it as well: --config.file"
    return Complaint(file, 1, 1, message, "not-a-playbook", hint)


def load_playbook(text: str, file: str, catalogue: Catalogue, names: Names | None) -> Playbook:
    """Read a playbook; ``file`` is the name to complain with, ``names`` what the configuration offers.

    Raises PlaybookError with every error found. Warnings are passed over: :func:`examine` returns them.
    """
    playbook, complaints = examine(text, file, catalogue, names)
    if playbook is None:
        raise PlaybookError(tuple(complaint for complaint in complaints if complaint.severity == "error"))
    return playbook


def examine(
    source: str | bytes,
    file: str,
    catalogue: Catalogue,
    names: Names | None,
) -> tuple[Playbook | None, tuple[Complaint, ...]]:
    """Return the playbook, or None when there are errors, and everything that there is to say about it."""
    text = source.decode("utf-8", "replace") if isinstance(source, bytes) else source
    if _CONFIGURATION.search(text):
        return None, (_not_a_playbook(file),)
    try:
        document = load_bytes(source, file) if isinstance(source, bytes) else load(source, file)
    except PlaybookError as error:
        return None, error.complaints
    findings = Findings(document)
    if not isinstance(document.data, Mapping):
        message = "this file is empty" if document.data is None else "a playbook is a mapping of keys"
        findings.add((), message, "not-a-playbook", "begin with the lines schema: 1 and name: …")
        return None, findings.in_order
    ids = step_ids(items(document.data.get("steps")), catalogue)
    shape = _shape(findings, document.data)
    _check(findings, document.data, ids, catalogue, names)
    if shape is None or findings.errors:
        return None, findings.in_order
    text = source.decode("utf-8") if isinstance(source, bytes) else source
    owners = owner_words(document.data)
    playbook = build(shape, ids=ids, file=file, text=text, catalogue=catalogue, names=names, owner_words=owners)
    return playbook, findings.in_order


def _shape(findings: Findings, data: Keys) -> PlaybookShape | None:
    try:
        return PlaybookShape.model_validate(data)
    except ValidationError as error:
        findings.add_validation(error, PlaybookShape)
        return None


def _check(findings: Findings, data: Keys, ids: tuple[str, ...], catalogue: Catalogue, names: Names | None) -> None:
    """Apply everything that is not about one key alone."""
    check_empty(findings, data, (), frozenset(catalogue.actions))
    check_top(findings, data)
    check_alerts(findings, data)
    templates = [*top_templates(data), *check_steps(findings, data, catalogue)]
    templates.extend(check_diagnose(findings, data, catalogue))
    for path, condition in condition_lists(data):
        templates.extend(check_condition(findings, path, condition, catalogue))
    check_owners(findings, data)
    check_references(findings, templates, ids, listed_ids(data, ids), gradual_ids(data, ids))
    if names is not None:
        check_names(findings, data, names, catalogue)


def name_place(playbook: Playbook) -> Complaint:
    """Return a complaint that points at the playbook's name in its file, for another to fill in."""
    document: Document = load(playbook.text, playbook.file)
    return document.complain(("name",), "", "")
