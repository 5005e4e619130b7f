"""Column types that mean the same on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import JsonValue
from pydantic_core import from_json, to_json
from sqlalchemy import BigInteger, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.engine import Dialect
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REPLACEMENT = "�"


def micros(instant: datetime) -> int:
    """Return microseconds since 1970, exactly (``timestamp()`` would round)."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(microseconds: int) -> datetime:
    """Return the aware UTC instant that ``micros`` counted."""
    return _EPOCH + timedelta(microseconds=microseconds)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime: ``timestamptz`` on PostgreSQL, whole microseconds since 1970 on SQLite."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        return TIMESTAMP(timezone=True) if dialect.name == "postgresql" else BigInteger()

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | int | None:
        """Write a value."""
        return value if value is None or dialect.name == "postgresql" else micros(value)

    def process_result_value(self, value: datetime | int | None, dialect: Dialect) -> datetime | None:
        """Read a value."""
        if value is None:
            return None
        if isinstance(value, datetime):
            # asyncpg hands out UTC already; the check costs nothing and a wrong zone would be a silent disaster.
            return value if value.tzinfo is UTC else value.astimezone(UTC)
        return instant(value)


class Words(TypeDecorator[str]):
    """Text from outside: NUL and lone surrogates, which PostgreSQL refuses, are replaced instead of failing the row."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Write a value."""
        return None if value is None else clean(value)


def clean(text: str) -> str:
    """Return ``text`` with what cannot be stored replaced by U+FFFD."""
    if text.isascii():
        return text.replace("\x00", _REPLACEMENT) if "\x00" in text else text
    return text.encode("utf-8", "replace").decode().replace("\x00", _REPLACEMENT)


def encode(value: object) -> str:
    """Return JSON text that both databases take: NaN becomes null, NUL and lone surrogates are replaced."""
    try:
        text = to_json(value, inf_nan_mode="null").decode()
    except ValueError:  # lone surrogates; rare, so the clean copy is made only then
        text = to_json(_cleaned(value), inf_nan_mode="null").decode()
    return text if "\\u0000" not in text else to_json(_cleaned(from_json(text))).decode()


def _cleaned(value: object) -> object:
    match value:
        case str():
            return clean(value)
        case dict():
            return {clean(str(key)): _cleaned(item) for key, item in value.items()}
        case list() | tuple():
            return [_cleaned(item) for item in value]
        case _:
            return value


def decode(text: str | bytes) -> JsonValue:
    """Read what ``encode`` wrote."""
    value: JsonValue = from_json(text)
    return value


Json = JSON(none_as_null=False).with_variant(JSONB(none_as_null=False), "postgresql")
"""JSON whose None is JSON's null."""
JsonOrNull = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""JSON whose None is no value at all."""
Path = Text().with_variant(Text(collation="C"), "postgresql")
"""A target: compared byte by byte, so that everything below a path is one range of an index."""
