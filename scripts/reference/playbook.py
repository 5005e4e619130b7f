"""The page of a playbook's keys, from the schema that `check` validates with."""

from responder.playbook.shape import (
    ApprovalShape,
    ConditionShape,
    DiagnosisShape,
    DocsShape,
    GradualShape,
    ItemsShape,
    LimitsShape,
    MassFailureShape,
    NotifyShape,
    PagerDutyShape,
    PlaybookShape,
    RadiusShape,
    Shape,
    SlackShape,
    StepShape,
)
from scripts.reference.catalogue import KNOWN, schema_of_playbooks
from scripts.reference.markdown import code, page, prose
from scripts.reference.schemas import Schema, keys_table

SECTIONS: tuple[tuple[type[Shape], str, str], ...] = (
    (PlaybookShape, "Top level", ""),
    (LimitsShape, "Limits", "limits"),
    (RadiusShape, "Limits: blast radius", "limits.blast_radius"),
    (MassFailureShape, "Limits: mass failure", "limits.mass_failure"),
    (ApprovalShape, "Approval", "approval"),
    (ConditionShape, "Conditions", "when, verify"),
    (DiagnosisShape, "Diagnose", "diagnose"),
    (StepShape, "Steps", "steps"),
    (ItemsShape, "Steps: items", "steps.items"),
    (GradualShape, "Steps: gradual", "steps.gradual"),
    (NotifyShape, "Notify", "notify"),
    (SlackShape, "Notify: Slack", "notify.slack"),
    (PagerDutyShape, "Notify: PagerDuty", "notify.pagerduty"),
    (DocsShape, "Docs", "docs"),
)
"""Every mapping of a playbook in the order of the story; a test holds this against the schema."""


def playbook_page() -> str:
    """Return the page of keys."""
    schema = schema_of_playbooks()
    return page(
        "The keys of a playbook",
        "One playbook a file. The keys are listed in the order that reads as a story. Anything else is an error "
        "with its place. `responder schema` prints the same as JSON Schema for editors.",
        *(_section(shape, title, where, schema) for shape, title, where in SECTIONS),
    )


def _section(shape: type[Shape], title: str, where: str, schema: Schema) -> str:
    titles = {kind.__name__: heading for kind, heading, _ in SECTIONS}
    said = {kind.__name__: prose(kind) for kind, _, _ in SECTIONS}
    parts = [f"## {title}", prose(shape)]
    if where:
        parts.append(f"Written under {', '.join(code(one) for one in where.split(', '))}.")
    skip = {StepShape: frozenset(KNOWN.actions), DiagnosisShape: frozenset(KNOWN.probes)}.get(shape, frozenset())
    parts.append(keys_table(_keys_of(shape, schema), titles, skip, said))
    if shape is DiagnosisShape:
        parts.append("Each has one more key: the [probe](probes.md) it looks with, and its inputs, or `query`.")
    if shape is StepShape:
        parts.append("One further key is the name of an [action](actions.md), with its inputs.")
    if shape.reserved:
        parts.append(f"Reserved for a later version: {', '.join(code(key) for key in shape.reserved)}.")
    return "\n\n".join(part for part in parts if part)


def _keys_of(shape: type[Shape], schema: Schema) -> Schema:
    """Find a mapping in the schema; those that a text may stand for are written in place."""
    if shape is PlaybookShape:
        return schema
    channels = schema["definitions"]["NotifyShape"]["properties"]
    in_place: dict[type[Shape], Schema] = {
        SlackShape: channels["slack"],
        PagerDutyShape: channels["pagerduty"],
        MassFailureShape: schema["definitions"]["LimitsShape"]["properties"]["mass_failure"],
    }
    found: Schema = in_place[shape] if shape in in_place else schema["definitions"][shape.__name__]
    return found
