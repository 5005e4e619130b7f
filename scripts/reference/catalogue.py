"""The pages of actions and probes, from their classes."""

from collections.abc import Iterable, Mapping
from typing import Any

from responder.app import catalogue
from responder.playbook.json_schema import playbook_schema
from responder.ports.action import Action
from responder.ports.probe import Probe
from scripts.reference.markdown import anchor, block, code, page, prose, summary, table
from scripts.reference.schemas import keys_table

KNOWN = catalogue()

EFFECTS = {
    "state": "it has a before and an after; when nothing would change, nothing is sent",
    "event": "it happens, and there is no state to compare",
}
FENCES = {
    "precondition": "the send carries a version of the target (a resource version, `If-Match`), and a stale one is "
    "refused",
    "key": "the send carries an idempotency key and what version the target gave; the target must honour them",
    "session": "the send runs on a session that holds a lock, and ends with it",
    "none": "nothing refuses a repeated send; in doubt the run is parked, and `mode: auto` needs `accept: unfenced`",
}
UNDOES = {
    "restores": "puts the before-image back",
    "compensates": "does something that makes up for it; the before-image is not restored exactly",
    "impossible": "not at all; the step needs `undo: none` written out",
}
EVIDENCE = {
    "marker": "by a mark that the effect leaves at the target",
    "value": "by comparing the owned fields with what they were and what they should be",
}


def actions_page() -> str:
    """Return the page of actions."""
    known = KNOWN.actions
    return page(
        "Actions",
        "An action is one step of a playbook: the key of the step is its name, the value its inputs. "
        'Numbers and true or false may also be written as a quoted template, `"{{ labels.x }}"`.',
        table(("Action", "What it does"), _list(known)),
        *(_action(name, action) for name, action in sorted(known.items())),
        _legend(),
    )


def _action(name: str, action: type[Action]) -> str:
    facts = [
        ("Effect", action.effect, EFFECTS[action.effect]),
        ("Fence", action.fence, FENCES[action.fence]),
        ("Undo", action.undoes, UNDOES[action.undoes]),
        ("Evidence", action.evidence, EVIDENCE[action.evidence]),
    ]
    parts = [
        f"## {name}",
        prose(action),
        table(("", "", "Meaning"), ((f"**{title}**", code(word), text) for title, word, text in facts)),
        "**Inputs**",
        _inputs(name, action),
        "**Permissions**",
        _permissions(action) or "None in a cluster or database; credentials and the allow-list are the connection's.",
        "**Example**",
        block(action.example, "yaml"),
    ]
    return "\n\n".join(part for part in parts if part)


def _permissions(action: type[Action] | type[Probe]) -> str:
    rows = [
        (
            code(one.group or "core"),
            code(one.resource) + (f", with {code(one.given)}" if one.given else ""),
            ", ".join(code(verb) for verb in one.verbs),
        )
        for one in action.permissions
    ]
    return table(("Group", "Resource", "Verbs"), rows)


def _legend() -> str:
    words = (("Effect", EFFECTS), ("Fence", FENCES), ("Undo", UNDOES), ("Evidence", EVIDENCE))
    rows = [(title, code(word), text) for title, known in words for word, text in known.items()]
    return "## What the words mean\n\n" + table(("", "Word", "Meaning"), rows)


def probes_page() -> str:
    """Return the page of probes."""
    known = KNOWN.probes
    return page(
        "Probes",
        "A probe looks at the world and changes nothing. A condition names it under `probe:` and gives its inputs "
        "under `with:`. What it returns is held against the thresholds of the condition; no value at all is no data.",
        table(("Probe", "What it reads"), _list(known)),
        *(_probe(name, probe) for name, probe in sorted(known.items())),
    )


def _probe(name: str, probe: type[Probe]) -> str:
    parts = [f"## {name}", prose(probe), "**Inputs**", _inputs(name, probe)]
    if probe.permissions:
        parts += ["**Permissions**", _permissions(probe)]
    parts.append("**Example**")
    return "\n\n".join(part for part in [*parts, block(probe.example, "yaml")] if part)


def _list(known: Mapping[str, type[Action]] | Mapping[str, type[Probe]]) -> Iterable[tuple[str, str]]:
    return [(f"[{code(name)}](#{anchor(name)})", summary(kind)) for name, kind in sorted(known.items())]


def _inputs(name: str, model: type[Action] | type[Probe]) -> str:
    """Return the table of inputs, and those of the mappings among them."""
    schema: dict[str, Any] = model.model_json_schema(by_alias=True)
    inner = {key: keys for key, keys in schema.get("$defs", {}).items() if "properties" in keys}
    titles = {definition: f"{name} {definition.lower()}" for definition in inner}
    tables = [keys_table(schema, titles) or "None."]
    for definition, keys in inner.items():
        described = str(keys.get("description", "")).replace("``", "`")
        tables.append(f"### {titles[definition]}\n\n{described}\n\n{keys_table(keys, titles)}")
    return "\n\n".join(tables)


def schema_of_playbooks() -> dict[str, Any]:
    """Return the JSON Schema that ``responder schema`` prints."""
    return playbook_schema(KNOWN)
