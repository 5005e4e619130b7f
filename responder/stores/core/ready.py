"""Statements made ready for a driver: compiled once, with what their parameters and columns need on the way.

SQLAlchemy says what a statement is and what its types mean. Executing it through SQLAlchemy costs the client about
three times what the driver costs it alone, which counts where an alert takes thirty statements.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler

if TYPE_CHECKING:
    import asyncpg

Process = Callable[[Any], Any] | None


class Parameter:
    """A place in the statement: filled from what is given under ``name``, or always with the same."""

    def __init__(self, name: str, process: Process, value: object, differs: bool) -> None:  # noqa: FBT001 - built in one place
        """``process`` makes of a value what the driver is to send."""
        self._name = name if differs else None
        self._process = process
        self._constant = _read(process, value)

    def value(self, given: Mapping[str, Any]) -> object:
        """Return what the driver is to send."""
        return self._constant if self._name is None else _read(self._process, given[self._name])


class Ready:
    """A statement as the driver takes it: asyncpg, or sqlite3."""

    def __init__(self, statement: Executable, dialect: Dialect, given: Mapping[str, Any]) -> None:
        """Compile ``statement``; what is not in ``given`` is the same whenever it is executed."""
        compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined] # every executable is a clause
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - what a clause compiles to
        state = compiled.construct_expanded_state(dict(given))
        self.sql = state.statement
        processes = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()
        } | dict(state.processors)
        self._parameters = [
            Parameter(name, processes.get(name), state.parameters[name], name in given)
            for name in state.positiontup or ()
        ]
        columns = getattr(statement, "exported_columns", ())  # text has none
        self._names = [column.key for column in columns]
        self._columns = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._row: Callable[..., Any] | None = None

    def values(self, given: Mapping[str, Any]) -> list[object]:
        """Return the parameters in their order."""
        return [one.value(given) for one in self._parameters]

    def rows(self, found: "Sequence[asyncpg.Record | Any]") -> list[Any]:
        """Return rows whose columns are attributes, as Python has them."""
        if not found:
            return []
        make = self._row = self._row or self._row_of(found[0])
        columns = self._columns
        if not any(columns):
            return [make(*record) for record in found]
        return [
            make(
                *[value if process is None else process(value) for process, value in zip(columns, record, strict=True)]
            )
            for record in found
        ]

    def _row_of(self, record: object) -> Callable[..., Any]:
        names = record.keys() if hasattr(record, "keys") else self._names  # a tuple tells none
        return namedtuple("Row", names, rename=True)  # noqa: PYI024 - the columns are known only now


def _read(process: Process, value: object) -> object:
    return value if process is None else process(value)
