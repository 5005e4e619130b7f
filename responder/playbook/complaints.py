"""From a pydantic error to a sentence with a place in the file, a rule code and a way to mend it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from responder.domain.errors import Complaint
from responder.language.strict_yaml import Document, Path
from responder.language.suggest import did_you_mean
from responder.playbook.fields import PUT_IN_QUOTES, Wrong, kind_of, written
from responder.playbook.shape import Shape, key_names

_YAML_1_1_BOOLEANS = {
    **dict.fromkeys(("on", "yes", "y"), "on/yes as true"),
    **dict.fromkeys(("off", "no", "n"), "off/no as false"),
}
_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


class Findings:
    """The complaints about one file, collected."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: list[Complaint] = []

    def add(
        self,
        path: Path,
        message: str,
        rule: str,
        hint: str = "",
        *,
        at_key: bool = False,
        severity: str = "error",
    ) -> None:
        """Complain about what stands at ``path`` (or at its nearest existing parent)."""
        place = existing(self._document.data, path)
        complaint = self._document.complain(place, message, rule, hint, at_key)
        self._found.append(replace(complaint, severity=severity))

    def add_wrong(self, path: Path, wrong: Wrong, label: str | None = None) -> None:
        """Complain as ``wrong`` says, after ``label`` (by default the nearest key)."""
        place = existing(self._document.data, path)
        complaint = self._document.complain(
            place, _labelled(label or _key_of(path), str(wrong)), wrong.rule, wrong.hint
        )
        value = at(self._document.data, place)
        # A part can be underlined where the text stands on one line as it is, with or without quotes.
        if wrong.width and isinstance(value, str) and complaint.width in (len(value), len(value) + 2):
            shift = wrong.offset + (complaint.width - len(value)) // 2
            complaint = replace(complaint, column=complaint.column + shift, width=wrong.width)
        self._found.append(complaint)

    @property
    def errors(self) -> tuple[Complaint, ...]:
        """Every complaint that keeps the file from being used, in file order."""
        return tuple(complaint for complaint in self.in_order if complaint.severity == "error")

    @property
    def in_order(self) -> tuple[Complaint, ...]:
        """Every complaint once, in file order."""
        unique = dict.fromkeys(self._found)
        return tuple(sorted(unique, key=lambda c: (c.line, c.column, c.severity, c.message)))

    def add_validation(self, error: ValidationError, model: type[Shape]) -> None:
        """Complain about everything that ``model`` found in the file's data."""
        details = error.errors(include_url=False)
        meant = {
            (*detail["loc"][:-1], self._unknown_key(detail["loc"], model))
            for detail in details
            if detail["type"] == "extra_forbidden"
        }
        for detail in details:
            path = detail["loc"]
            # A mistyped key is missing as well, and an empty value is complained about as such: once is enough.
            if detail["type"] == "extra_forbidden" or detail["input"] is None or path in meant:
                continue
            if detail["type"] == "missing":
                self.add(path[:-1], f'missing key "{path[-1]}"', "missing-key", _purpose(path, model), at_key=True)
            else:
                self.add_wrong(path, self._as_written(path, detail))

    def _as_written(self, path: Path, detail: ErrorDetails) -> Wrong:
        """Describe a value, and repeat a number as it stands in the file: 007 is not 7 to whoever wrote it."""
        wrong = describe(detail)
        text = self._document.written(existing(self._document.data, path))
        if wrong.hint.startswith(PUT_IN_QUOTES) and text:
            return Wrong(str(wrong), wrong.rule, f'{PUT_IN_QUOTES}: "{text}"')
        return wrong

    def _unknown_key(self, path: Path, model: type[Shape]) -> str | None:
        shape = _shape_at(path[:-1], model)
        return self.add_unknown_key(path, str(path[-1]), key_names(shape), shape.reserved)

    def add_unknown_key(self, path: Path, key: str, known: Iterable[str], reserved: Iterable[str]) -> str | None:
        """Complain about a key that is not known here, or is kept for later; return the one that may be meant."""
        if key in reserved:
            message = f'"{key}" is reserved for a later version and does nothing yet'
            self.add(path, message, "reserved-key", "leave it out", at_key=True)
            return None
        choices = tuple(known)
        near = did_you_mean(key, choices)
        hint = f'did you mean "{near}"?' if near else f"keys here: {', '.join(choices)}"
        self.add(path, f'unknown key "{key}"', "unknown-key", hint, at_key=True)
        return near


def existing(data: object, path: Iterable[str | int]) -> Path:
    """Return as much of ``path`` as leads somewhere in ``data``; a part that a shorthand leaves out is passed over."""
    walked: list[str | int] = []
    here = data
    for part in path:
        if _has(here, part):
            here = at(here, (part,))
            walked.append(part)
    return tuple(walked)


def _has(value: object, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def at(data: object, path: Path) -> object:
    """Return what stands at an existing ``path``."""
    here: Any = data
    for part in path:
        here = here[part]
    return here


def describe(detail: ErrorDetails) -> Wrong:
    """Say what is wrong with a value, in the words of this file format."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx") or {}
    cause = context.get("error")
    if isinstance(cause, Exception):
        return cause if isinstance(cause, Wrong) else Wrong(str(cause))
    if kind in ("literal_error", "enum"):
        return _not_a_choice(value, str(context.get("expected", "")))
    if kind in _EXPECTED:
        given = str(value) if isinstance(value, float) else kind_of(value)
        return Wrong(f"{_EXPECTED[kind]} is expected, not {given}", "type", _type_hint(kind, value))
    return _out_of_bounds(kind, context) or Wrong(detail["msg"][:1].lower() + detail["msg"][1:])


def _out_of_bounds(kind: str, context: Mapping[str, object]) -> Wrong | None:
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return Wrong(f"must be {words} {context[key]}")
    if kind in ("too_short", "string_too_short"):
        return Wrong("is empty", "empty")
    if kind in ("too_long", "string_too_long"):
        return Wrong(f"is too long: at most {context.get('max_length')}")
    return None


def _not_a_choice(value: object, expected: str) -> Wrong:
    words = expected.replace("True", "true")
    choices = [choice.strip("' ") for choice in words.replace(" or ", ", ").split(",")]
    near = did_you_mean(value, choices) if isinstance(value, str) else None
    if len(choices) == 1:
        return Wrong(f"input should be {words}", "value", f"write {choices[0]}")
    start = f'did you mean "{near}"? ' if near else ""
    # As YAML 1.1 reads them these would be yes and no; here they are the words that stand there.
    if isinstance(value, str) and value.casefold() in _YAML_1_1_BOOLEANS:
        start = f"YAML 1.1 reads {_YAML_1_1_BOOLEANS[value.casefold()]}; "
    return Wrong(f"input should be {words}", "value", f"{start}one of: {', '.join(choices)}")


def _type_hint(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return f'{PUT_IN_QUOTES}: "{written(value)}"'
    if kind == "int_type" and isinstance(value, str) and value.strip().isdecimal():
        return f"write {int(value)}, without quotes"
    if kind == "list_type":
        return "write one item a line, each after a dash"
    return ""


def _key_of(path: Path) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "")


def _labelled(label: str, message: str) -> str:
    return f"{label}: {message}" if label else message


def _shape_at(path: Path, model: type[Shape]) -> type[Shape]:
    """Return the model of the mapping at ``path``."""
    shape = model
    for part in path:
        if isinstance(part, str):
            shape = _shape_of_field(part, shape) or shape
    return shape


def _field(key: str, shape: type[Shape]) -> FieldInfo | None:
    return next((field for name, field in shape.model_fields.items() if key == (field.alias or name)), None)


def _shape_of_field(key: str, shape: type[Shape]) -> type[Shape] | None:
    field = _field(key, shape)
    return next(_shapes_in(field.annotation), None) if field else None


def _shapes_in(annotation: object) -> Iterator[type[Shape]]:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        yield annotation
    for argument in get_args(annotation):
        yield from _shapes_in(argument)


def _purpose(path: Path, model: type[Shape]) -> str:
    field = _field(str(path[-1]), _shape_at(path[:-1], model))
    return (field.description or "") if field else ""
