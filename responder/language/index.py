"""Finds which of thousands of matcher sets fit an alert without trying them all.

Each set of matchers is filed under one of them. An equality (or a regular expression that only lists words) is filed
under its values; another regular expression under its label, where the answer for a value is worked out once and kept.
Only what was found that way is then checked in full.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from responder.language.matchers import Matcher, searcher

K = TypeVar("K")

_LITERAL_START = re.compile(r"[^\\.+*?()|\[\]{}^$]*")

# Below this many sets under one value, checking them costs less than a cleverer key would save.
_FEW = 32
# Answers kept per label and in all; a label of high cardinality (a pod's name) must not fill the memory.
_KEPT_VALUES = 4_096
_KEPT_ANSWERS = 65_536


class _Set:
    """One alternative of an entry: every matcher must hold."""

    __slots__ = ("entry", "matchers")

    def __init__(self, entry: int, matchers: Sequence[Matcher]) -> None:
        self.entry = entry
        self.matchers = tuple(matchers)


class _ByExpression:
    """The sets filed under a regular expression on one label, by the text that a matching value must start with."""

    __slots__ = ("_answers", "_by_prefix", "_label", "_lengths")

    def __init__(self, label: str) -> None:
        self._label = label
        self._by_prefix: dict[str, dict[Matcher, list[_Set]]] = {}
        self._lengths: list[int] = []
        self._answers: dict[str, tuple[_Set, ...]] = {}

    def file(self, matcher: Matcher, one: _Set) -> None:
        """Keep ``one`` under each start that ``matcher`` allows."""
        for prefix in _prefixes(matcher):
            self._by_prefix.setdefault(prefix, {}).setdefault(matcher, []).append(one)
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})

    def find(self, value: str) -> tuple[_Set, ...]:
        """The sets whose filed matcher holds for ``value``."""
        answer = self._answers.get(value)
        if answer is None:
            if len(self._answers) >= _KEPT_VALUES:
                self._answers.clear()
            answer = self._answers[value] = tuple(self._matching(value))
        return answer

    def _matching(self, value: str) -> Iterator[_Set]:
        labels = {self._label: value}
        for length in self._lengths:
            if length > len(value):
                break
            for matcher, sets in self._by_prefix.get(value[:length], {}).items():
                if matcher.matches(labels):
                    yield from sets


def _prefixes(matcher: Matcher) -> set[str]:
    """What a value must start with to satisfy ``matcher``: at least one of these; an empty text means anything."""
    if matcher.negative:
        return {""}
    nested = any(sign in matcher.value for sign in "([\\")
    if nested and "|" in matcher.value:
        return {""}
    return {_prefix(part) for part in matcher.value.split("|")}


def _prefix(expression: str) -> str:
    """The literal characters at the start of an expression without alternatives."""
    bare = expression.removeprefix("^")
    literal = _LITERAL_START.match(bare)
    start = literal[0] if literal else ""
    # The last one may be absent: `ab*` also matches `a`.
    return start[:-1] if bare[len(start) : len(start) + 1] in {"*", "?", "{"} else start


class MatcherIndex(Generic[K]):
    """Answers which entries fit a set of labels. An entry fits when all matchers of one of its alternatives do."""

    def __init__(self, entries: Iterable[tuple[K, Sequence[Sequence[Matcher]]]]) -> None:
        self._keys: list[K] = []
        self._always: list[_Set] = []
        self._by_value: dict[str, dict[str, list[_Set]]] = {}
        self._by_absence: dict[str, list[_Set]] = {}
        self._by_expression: dict[str, _ByExpression] = {}
        self._answers: dict[tuple[str, str], bool] = {}
        sets: list[_Set] = []
        for number, (key, alternatives) in enumerate(entries):
            self._keys.append(key)
            sets += [_Set(number, matchers) for matchers in alternatives]
        shared = Counter(
            (matcher.name, value) for one in sets for matcher in one.matchers for value in matcher.literals or ()
        )
        for one in sets:
            self._file(one, shared)

    def find(self, labels: Mapping[str, str]) -> list[K]:
        """The keys of the entries that fit, in the order they were given."""
        found = {one.entry for one in self._always}
        for name, value in labels.items():
            table = self._by_value.get(name)
            if table is not None:
                self._check(table.get(value, ()), labels, found)
        for name, sets in self._by_absence.items():
            if not labels.get(name):
                self._check(sets, labels, found)
        for name, expressions in self._by_expression.items():
            self._check(expressions.find(labels.get(name, "")), labels, found)
        return [self._keys[entry] for entry in sorted(found)]

    def _file(self, one: _Set, shared: Mapping[tuple[str, str], int]) -> None:
        """Put ``one`` under the matcher that the fewest others share."""
        best: Matcher | None = None
        company = 0
        for matcher in one.matchers:
            literals = matcher.literals
            if literals is not None:
                others = sum(shared[matcher.name, value] for value in literals)
                if best is None or others < company:
                    best, company = matcher, others
        if best is None or company > _FEW:
            # A positive expression first: nearly everything satisfies a negative one.
            expressions = [matcher for matcher in one.matchers if matcher.literals is None]
            expressions.sort(key=lambda matcher: (matcher.negative, matcher.op == "!="))
            if expressions and (best is None or not expressions[0].negative):
                self._file_under_expression(one, expressions[0])
                return
        if best is None:
            self._always.append(one)
        else:
            self._file_under_values(one, best)

    def _file_under_values(self, one: _Set, matcher: Matcher) -> None:
        rest = _Set(one.entry, [other for other in one.matchers if other is not matcher])
        for value in matcher.literals or ():
            if value:
                self._by_value.setdefault(matcher.name, defaultdict(list))[value].append(rest)
            else:
                self._by_absence.setdefault(matcher.name, []).append(rest)

    def _file_under_expression(self, one: _Set, matcher: Matcher) -> None:
        rest = _Set(one.entry, [other for other in one.matchers if other is not matcher])
        table = self._by_expression.setdefault(matcher.name, _ByExpression(matcher.name))
        table.file(matcher, rest)

    def _check(self, sets: Iterable[_Set], labels: Mapping[str, str], found: set[int]) -> None:
        for one in sets:
            if one.entry not in found and all(self._holds(matcher, labels) for matcher in one.matchers):
                found.add(one.entry)

    def _holds(self, matcher: Matcher, labels: Mapping[str, str]) -> bool:
        """What ``matcher.matches(labels)`` says, without asking RE2 twice about the same value."""
        value = labels.get(matcher.name, "")
        op = matcher.op
        if op == "=":
            return value == matcher.value
        if op == "!=":
            return value != matcher.value
        answer = self._answers.get((matcher.value, value))
        if answer is None:
            if len(self._answers) >= _KEPT_ANSWERS:
                self._answers.clear()
            answer = self._answers[matcher.value, value] = searcher(matcher.value)(value)
        return answer == (op == "=~")
