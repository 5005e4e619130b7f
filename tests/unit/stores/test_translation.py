"""A library's error becomes the one that says what to do next."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from responder.domain.errors import Conflict, StoreError, Unavailable
from responder.stores.core.database import translate, translated


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (asyncpg.SerializationError("x"), Conflict),
        (asyncpg.DeadlockDetectedError("x"), Conflict),
        (asyncpg.UniqueViolationError("x"), Conflict),
        (IntegrityError("insert", {}, Exception("UNIQUE constraint failed")), Conflict),
        (asyncpg.CharacterNotInRepertoireError("x"), StoreError),
        (asyncpg.ProgramLimitExceededError("index row size"), StoreError),
        (asyncpg.QueryCanceledError("statement timeout"), Unavailable),
        (asyncpg.AdminShutdownError("x"), Unavailable),
        (asyncpg.TooManyConnectionsError("x"), Unavailable),
        (OperationalError("begin", {}, Exception("database or disk is full")), Unavailable),
        (DBAPIError("select", {}, asyncpg.DeadlockDetectedError("x")), Conflict),
        (ConnectionRefusedError(), Unavailable),
        (TimeoutError(), Unavailable),
    ],
)
def test_each_error_says_what_to_do_next(error: Exception, wanted: type[StoreError]) -> None:
    assert type(translate(error)) is wanted


def test_the_cause_is_kept_and_statements_are_not_shown() -> None:
    cause = OperationalError("SELECT secret FROM x", {"p": "secret"}, Exception("disk I/O error\nmore"))
    with pytest.raises(Unavailable) as caught, translated():
        raise cause
    assert caught.value.__cause__ is cause
    assert str(caught.value) == "the store cannot be reached: disk I/O error"


def test_other_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), translated():
        raise ZeroDivisionError
