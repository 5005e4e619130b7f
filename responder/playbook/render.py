"""Putting an alert's values into a playbook: targets, arguments, queries. Values are data and never become syntax.

The context is what placeholders name: ``labels``, ``annotations``, ``connection``, ``owner``, ``steps`` (images by step
id) and ``item``. Everything here raises MissingValue when the alert lacks a value, and another ValueError with the
sentence to show when what results cannot be used.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, JsonValue, ValidationError

from responder.domain.alerts import REPLACEMENT
from responder.domain.targets import KUBERNETES_KINDS, SEPARATOR, check_key
from responder.language.templates import MissingValue, Place, Template
from responder.playbook.complaints import describe
from responder.playbook.model import Condition, Diagnosis, ItemList, Playbook, Step
from responder.playbook.rules import key_shape
from responder.ports.action import Action
from responder.ports.probe import Probe

__all__ = [
    "ClusterMissing",
    "MissingValue",
    "place_of",
    "render_arguments",
    "render_names",
    "render_probe",
    "render_query",
    "render_target",
    "render_text",
    "render_url",
]

Context = Mapping[str, object]
_Model = TypeVar("_Model", bound=BaseModel)

POD = Template.parse("pod/{{ labels.namespace }}/{{ labels.pod }}")
"""How an alert names a pod: by the labels that the exporters of Kubernetes give."""

_REQUEST_PATH = re.compile(r"(?:[A-Z]+ +)?/")
_LOST = quote(REPLACEMENT)
"""What stands for lost characters, as it stands in a path."""
MATCHERS = "matchers"
"""The input that is a list of Alertmanager's matchers: a value in them is escaped, and never a pattern of its own."""
_QUERY_INPUTS = frozenset({"query", "expression"})


class ClusterMissing(ValueError):
    """A Kubernetes target, and nobody says in which cluster."""


def render_target(playbook: Playbook, context: Context) -> str:
    """Return the key of what the playbook would change for this alert.

    The cluster of a Kubernetes target is the playbook's ``cluster``, else ``context["cluster"]``; without either it
    raises ClusterMissing. Raises MissingValue, and ValueError for a key that names nothing.
    """
    if playbook.target is None:
        raise ValueError(f"the playbook {playbook.name} has no target")
    return _key_of(playbook.target, playbook, context)


def render_pod(playbook: Playbook, context: Context) -> str:
    """Return the key of the alert's pod: whose pod it is, is looked up when a run begins. Raises as above."""
    return _key_of(POD, playbook, context)


def _key_of(template: Template, playbook: Playbook, context: Context) -> str:
    key = _render_key(template, context)
    kind = key.partition(SEPARATOR)[0]
    if kind in KUBERNETES_KINDS:
        key = f"{_cluster(playbook, context)}{SEPARATOR}{check_key(key)}"
    return check_key(key)


def _render_key(template: Template, context: Context) -> str:
    """Render a path of names; a value cannot add a name to it and so reach another target."""
    key = template.render(context)
    names = key_shape(template.text).count(SEPARATOR)
    if key.count(SEPARATOR) != names:
        raise ValueError(f"the target {key!r} has more parts than {template.text!r}: a value holds a {SEPARATOR}")
    return key


def _cluster(playbook: Playbook, context: Context) -> str:
    cluster = playbook.cluster.render(context) if playbook.cluster else context.get("cluster")
    if not isinstance(cluster, str) or not cluster:
        raise ClusterMissing(f"the alert does not say which cluster {playbook.name} is to act in")
    if SEPARATOR in cluster:
        raise ValueError(f"{cluster!r} is not the name of a cluster")
    return cluster


def render_arguments(step: Step, context: Context) -> Action:
    """Return the step's action with the alert's values put in, checked again as a whole.

    A portion has its values already: they are never rendered twice.
    """
    if step.portion:
        return step.action.model_validate(dict(step.arguments))
    return _render(step.action.name, step.action, step.arguments, context)


def render_probe(condition: Condition, context: Context) -> Probe:
    """Return the condition's probe with the alert's values put in, checked again as a whole."""
    if condition.probe is None:
        raise ValueError(f"the condition {condition.name!r} has no probe")
    return _render(condition.probe.name, condition.probe, condition.arguments, context)


def render_items(items: ItemList, context: Context) -> Probe:
    """Return the probe that finds a step's items, with the alert's values put in."""
    return _render(items.probe.name, items.probe, items.arguments, context)


def render_diagnosis(one: Diagnosis, context: Context) -> Probe:
    """Return the probe of a look for people, with the alert's values put in."""
    return _render(one.probe.name, one.probe, one.arguments, context)


def render_query(condition: Condition, context: Context) -> str:
    """Return the condition's query with the alert's values escaped for where they stand in PromQL."""
    if condition.query is None:
        raise ValueError(f"the condition {condition.name!r} has no query")
    return condition.query.render(context, Place.PROMQL)


def _render(name: str, model: type[_Model], arguments: Mapping[str, JsonValue], context: Context) -> _Model:
    rendered = {key: _render_input(key, value, context) for key, value in arguments.items()}
    try:
        return model.model_validate(rendered)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join((name, *(str(part) for part in detail["loc"])))
        raise ValueError(f"{place}: {describe(detail)}") from error


def _render_input(name: str, value: JsonValue, context: Context) -> object:
    """Render one input; a text directly in it may be a path or a query, further inside it is plain data."""
    if isinstance(value, str):
        place = place_of(name, value)
        template = Template.parse(value)
        if place is Place.TEXT:
            return template.render_value(context)
        written = template.render(context, place)
        if place is Place.URL_PATH and _LOST in written:
            raise ValueError(f"{name}: a value holds U+FFFD, which stands for characters that could not be kept")
        return written
    if name == MATCHERS and isinstance(value, list):
        return [Template.parse(one).render(context, Place.MATCHER) if isinstance(one, str) else one for one in value]
    return _render_data(value, context)


def _render_data(value: JsonValue, context: Context) -> object:
    if isinstance(value, str):
        return Template.parse(value).render_value(context)
    if isinstance(value, dict):
        return {key: _render_data(inner, context) for key, inner in value.items()}
    if isinstance(value, list):
        return [_render_data(inner, context) for inner in value]
    return value


def place_of(name: str, text: str) -> Place:
    """Say what an input's text is, so that values are escaped for it.

    A text that begins like ``/path`` or ``PUT /path`` is a URL path, an input called ``query`` is PromQL.
    """
    if name in _QUERY_INPUTS:
        return Place.PROMQL
    return Place.URL_PATH if _REQUEST_PATH.match(text) else Place.TEXT


def render_text(text: str, context: Context) -> str:
    """Return a text for people with the alert's values put in; a value that the alert lacks is named as missing."""
    if "{{" not in text:
        return text
    try:
        return Template.parse(text).render_for_people(context)
    except ValueError:
        return text  # no template of ours: what a query or a title says in such brackets is its own business


def render_url(template: Template, context: Context) -> str:
    """Return where a link leads, empty when the alert lacks a value: it would lead somewhere else."""
    try:
        return template.render(context)
    except ValueError:
        return ""


def render_names(playbook: Playbook, context: Context) -> Playbook:
    """Return the playbook with the names of its conditions as people read them: a query stands for one without.

    A query is told as it is sent: a label's value that ends the quotes would read as if it had become PromQL.
    """

    def named(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
        return tuple(replace(one, name=_name(one, context)) if "{{" in one.name else one for one in conditions)

    steps = tuple(replace(one, when=named(one.when), verify=named(one.verify)) for one in playbook.steps)
    return replace(playbook, when=named(playbook.when), verify=named(playbook.verify), steps=steps)


def _name(condition: Condition, context: Context) -> str:
    if condition.query is not None and condition.name == str(condition.query):
        with suppress(ValueError):
            return render_query(condition, context)
    return render_text(condition.name, context)
