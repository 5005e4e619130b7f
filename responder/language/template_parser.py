"""Reads a template with Jinja2's lexer and parser, and accepts only paths, literals and the listed filters."""

import re
from dataclasses import dataclass

from jinja2 import Environment, TemplateSyntaxError, nodes

from responder.language.suggest import did_you_mean

# Each filter with the number of its arguments.
FILTERS = {"default": 1, "host": 0, "port": 0, "lower": 0, "upper": 0, "replace": 2, "basename": 0}
# Each root with the fewest and most steps of a path that starts there.
_ROOTS = {
    "labels": (2, 2),
    "annotations": (2, 2),
    "owner": (2, 2),
    "connection": (1, 1),
    "steps": (3, 8),
    "item": (1, 8),
}
_OPERATORS = frozenset({".", "[", "]", "|", "(", ")", ","})
# Words that are operators to Jinja2. They nest, and its parser recurses.
_KEYWORDS = frozenset({"not", "and", "or", "in", "is", "if", "else"})
_LONGEST = 500
_DEEPEST = 4
_GO_TEMPLATE = re.compile(
    r"\$(labels|annotations)\.(\w+)|\{\{\s*\.?(?:Common|Group)?(Labels|Annotations)\.(\w+)"
    r"|\{\{\s*alert\.(labels|annotations)\.(\w+)"
)

# Comments are given a start that no text has: `${#array}` in a shell command is no comment.
_JINJA = Environment(
    autoescape=True, keep_trailing_newline=True, comment_start_string="\x00{#", comment_end_string="#}\x00"
)


class TemplateError(ValueError):
    """A template cannot be used; ``offset`` is the character where it goes wrong."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter with its literal arguments."""

    name: str
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands between the braces: a path, or (with an empty path) a literal; then filters."""

    path: tuple[str, ...]
    literal: object
    filters: tuple[Filter, ...]


def pieces_of(text: str) -> tuple[list[str], list[Expression]]:
    """Cut ``text`` into literals and the expressions between them (one fewer). Raises TemplateError."""
    foreign = _GO_TEMPLATE.search(text)
    if foreign:
        kind, name = (group for group in foreign.groups() if group)
        raise TemplateError(f"did you mean `{{{{ {kind.lower()}.{name} }}}}`?", foreign.start())
    if "{{" not in text and "{%" not in text:
        return [text], []
    # Jinja2's lexer would do the same, and offsets must fit.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    literals, expressions = [""], []
    for offset, source in _placeholders(text, literals):
        expressions.append(_expression(source, offset))
    return literals, expressions


def _placeholders(text: str, literals: list[str]) -> "list[tuple[int, str]]":
    """The source of each placeholder and its offset; fills ``literals``."""
    found: list[tuple[int, str]] = []
    offset = depth = 0
    start: int | None = None
    before = ""
    try:
        for _, kind, value in _JINJA.lex(text):
            if kind == "data":
                literals[-1] += value
            elif kind == "variable_begin":
                start, depth = offset, 0
            elif kind.startswith(("block", "raw", "comment")):
                raise TemplateError("only {{ … }} is understood here: there are no statements", offset)
            depth += _check_token(kind, value, offset, depth, before)
            before = value if kind != "whitespace" else before
            offset += len(value)
            if start is not None and offset - start > _LONGEST:
                raise TemplateError(f"a placeholder is at most {_LONGEST} characters long", start)
            if start is not None and kind == "variable_end":
                found.append((start, text[start:offset]))
                literals.append("")
                start = None
    except TemplateSyntaxError as error:
        raise TemplateError(_plain(error), min(offset, len(text))) from error
    if start is not None:
        raise TemplateError("this {{ is never closed", start)
    return found


def _check_token(kind: str, value: str, offset: int, depth: int, before: str) -> int:
    """Refuse what no path, literal or filter needs; return by how much the nesting changes."""
    if kind in {"variable_begin", "variable_end"} and value.strip() not in {"{{", "}}"}:
        raise TemplateError("write {{ … }} without - or +: spaces stay as they are", offset)
    if kind == "operator":
        if value == "-":
            raise TemplateError('nothing is computed here; a name with a dash is written labels["a-b"]', offset)
        if value not in _OPERATORS:
            raise TemplateError(f"nothing is computed here: {value} is not understood", offset)
        if value in "([" and depth >= _DEEPEST:
            raise TemplateError("there are too many brackets", offset)
        return {"(": 1, "[": 1, ")": -1, "]": -1}.get(value, 0)
    if kind == "name" and value in _KEYWORDS and before != ".":
        raise TemplateError(f"nothing is computed here: {value} is not understood", offset)
    return 0


def _expression(source: str, offset: int) -> Expression:
    if not source[2:-2].strip():
        raise TemplateError("there is nothing between the braces", offset)
    try:
        body = _JINJA.parse(source).body
    except TemplateSyntaxError as error:
        raise TemplateError(_plain(error), offset) from error
    output = body[0] if body else None
    if not isinstance(output, nodes.Output) or len(output.nodes) != 1:
        raise TemplateError("only one value stands between the braces", offset)
    node = output.nodes[0]
    filters: list[Filter] = []
    while isinstance(node, nodes.Filter):
        filters.append(_filter(node, offset))
        if node.node is None:
            raise TemplateError("a filter needs a value before it", offset)
        node = node.node
    filters.reverse()
    if isinstance(node, nodes.Const) and node.value is not None:
        return Expression((), node.value, tuple(filters))
    return Expression(_checked(_path(node, offset), offset), None, tuple(filters))


def _filter(node: nodes.Filter, offset: int) -> Filter:
    if node.name not in FILTERS:
        near = did_you_mean(node.name, FILTERS)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(FILTERS)}"
        raise TemplateError(f"there is no filter {node.name}: {hint}", offset)
    arguments = [argument.value for argument in node.args if isinstance(argument, nodes.Const)]
    wanted = FILTERS[node.name]
    if len(arguments) != len(node.args) or node.kwargs or node.dyn_args or node.dyn_kwargs or len(arguments) != wanted:
        words = {0: "no arguments", 1: "one literal argument", 2: "two literal arguments"}[wanted]
        raise TemplateError(f"the filter {node.name} takes {words}", offset)
    return Filter(node.name, tuple(arguments))


def _path(node: nodes.Node, offset: int) -> tuple[str, ...]:
    steps: list[str] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif (
            isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and type(node.arg.value) in {str, int}
        ):
            steps.append(str(node.arg.value))
        else:
            raise TemplateError("only a path such as labels.x, a literal and filters are understood", offset)
        node = node.node
    return (node.name, *reversed(steps))


def _checked(path: tuple[str, ...], offset: int) -> tuple[str, ...]:
    root = path[0]
    if root not in _ROOTS:
        near = did_you_mean(root, _ROOTS)
        hint = f"did you mean {'.'.join((near, *path[1:]))}?" if near else f"a path starts with {', '.join(_ROOTS)}"
        if len(path) == 1 and not near:
            hint = f"did you mean labels.{root}?"
        raise TemplateError(f"there is no {root}: {hint}", offset)
    fewest, most = _ROOTS[root]
    if len(path) < fewest:
        example = "steps.scale.after.replicas" if root == "steps" else f"{root}.x"
        raise TemplateError(f"{'.'.join(path)} names no value: write {example}", offset)
    if len(path) > most:
        if root in {"labels", "annotations"}:
            raise TemplateError(f'a name with dots is written {root}["{".".join(path[1:])}"]', offset)
        raise TemplateError(f"the path {'.'.join(path)} goes too deep", offset)
    return path


def _plain(error: TemplateSyntaxError) -> str:
    return f"this placeholder cannot be read: {error.message}"
