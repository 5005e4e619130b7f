"""An allow list compares the method and the path without its query and percent signs."""

import pytest

from responder.language.allow import allows, is_own_path


@pytest.mark.parametrize(
    ("pattern", "method", "path", "fits"),
    [
        ("PUT /admin/*", "PUT", "/admin/workers", True),
        ("put /admin/*", "PUT", "/admin/workers", True),
        ("* /admin/*", "DELETE", "/admin/workers", True),
        ("PUT /admin/*", "PUT", "/admin/a/b?force=1", True),
        ("PUT /admin/*", "PUT", "/%61dmin/workers", True),
        ("PUT /admin/*", "PUT", "/public?x=/admin/", False),
        ("GET /*", "PUT", "/admin/workers", False),
        ("PUT /admin", "PUT", "/admin/workers", False),
    ],
)
def test_a_pattern_lets_through_what_it_fits(pattern: str, method: str, path: str, *, fits: bool) -> None:
    assert allows(["GET /other", pattern], method, path) is fits


def test_an_empty_list_lets_nothing_through() -> None:
    assert not allows([], "GET", "/")


@pytest.mark.parametrize(
    "path", ["/a/../b", "/a/%2e%2e/b", "/a/%252e%252e/b", "//other/a", "/a#b", "/a\\b", "a", "/a\x00"]
)
def test_a_path_that_could_lead_elsewhere_is_not_the_services_own(path: str) -> None:
    assert not is_own_path(path)


def test_an_ordinary_path_is_the_services_own() -> None:
    assert is_own_path("/a/b..c/%20?d=../e")
