"""A store is the sum of its parts: none may redefine what another has."""

from collections import Counter

from responder.stores.core.store import SqlStore


def test_no_part_hides_a_name_of_another() -> None:
    parts = [part for part in SqlStore.__mro__ if part not in (SqlStore, object)]
    names = Counter(name for part in parts for name in vars(part) if not name.startswith("__"))
    assert [name for name, times in names.items() if times > 1] == []
