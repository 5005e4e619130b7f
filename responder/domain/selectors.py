"""Which pods belong to a workload, as the API takes it."""

from collections.abc import Mapping

from pydantic import JsonValue

from responder.domain.reconcilers import at, text_at


def selector(owner: Mapping[str, JsonValue]) -> str:
    """Return the label selector of a workload, as the API takes it; raises ValueError for one without any."""
    chosen = at(owner, "spec", "selector")
    parts = [f"{key}={value}" for key, value in sorted(_texts(at(chosen, "matchLabels")).items())]
    parts += [_expression(rule) for rule in _items(at(chosen, "matchExpressions"))]
    if not parts:
        raise ValueError(f"{text_at(owner, 'metadata', 'name')} selects no pods by label")
    return ",".join(parts)


def _expression(rule: JsonValue) -> str:
    key, values = text_at(rule, "key"), ",".join(map(str, _items(at(rule, "values"))))
    match text_at(rule, "operator"):
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return key
        case _:
            return f"!{key}"


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _texts(value: JsonValue) -> dict[str, str]:
    return {key: str(one) for key, one in value.items()} if isinstance(value, dict) else {}
