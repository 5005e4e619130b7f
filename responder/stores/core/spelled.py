"""How PostgreSQL is spelled where SQLAlchemy has no word for it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg
from sqlalchemy import BindParameter, Boolean, FromClause, Text, bindparam, cast, column, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeEngine

from responder.stores.core.types import decode, encode


def engine_of(connect: "Callable[[], Awaitable[asyncpg.Connection[asyncpg.Record]]]") -> AsyncEngine:
    """Return an engine over connections that ``connect`` makes; it keeps none."""
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        poolclass=NullPool,
        json_serializer=encode,
        json_deserializer=decode,
    )


def unnested(arrays: Sequence[BindParameter[Any]], columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """Return rows made of one array for each of the ``columns``."""
    typed = (cast(array, ARRAY(kind)) for array, kind in zip(arrays, columns.values(), strict=True))
    shape = (column(name, kind) for name, kind in columns.items())
    return func.unnest(*typed).table_valued(*shape).render_derived()


LOCK = text(
    "SELECT CASE WHEN alone THEN pg_advisory_xact_lock(hashtextextended(name, 0))"
    " ELSE pg_advisory_xact_lock_shared(hashtextextended(name, 0)) END"
    " FROM unnest(CAST(:names AS text[]), CAST(:alone AS boolean[])) AS wanted(name, alone)"
).bindparams(bindparam("names", type_=ARRAY(Text())), bindparam("alone", type_=ARRAY(Boolean())))
"""Takes advisory locks by name until the transaction ends, in the order given: alone, or shared."""
