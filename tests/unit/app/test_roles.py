"""Roles: every queue is somebody's, and one process alone must do everything."""

import pytest

from responder.app.roles import QUEUES, Role, role_of
from responder.domain.errors import SettingsError

POSTGRES = "postgresql://responder@db/responder"


def test_who_acts_and_who_tells_share_all_queues_and_none_twice() -> None:
    assert QUEUES[Role.ACT] | QUEUES[Role.TELL] == QUEUES[Role.ALL]
    assert not QUEUES[Role.ACT] & QUEUES[Role.TELL]


def test_with_postgresql_each_role_may_be_taken() -> None:
    assert [role_of(name, POSTGRES) for name in ("all", "act", "tell")] == [Role.ALL, Role.ACT, Role.TELL]


@pytest.mark.parametrize("name", ["act", "tell"])
def test_with_sqlite_one_process_does_everything(name: str) -> None:
    assert role_of("all", "sqlite:///responder.db") is Role.ALL
    with pytest.raises(SettingsError, match=f"--role={name}: SQLite is for one process.*PostgreSQL"):
        role_of(name, "sqlite:///responder.db")


def test_a_role_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="--role: 'teller' is not one of all, act, tell"):
        role_of("teller", POSTGRES)
