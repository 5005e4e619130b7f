"""An allow list compares the method and the path without its query and percent signs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.language.allow import allows, filled_in, is_own_path, may_allow


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


@pytest.mark.parametrize(
    ("pattern", "method", "beginning", "fits"),
    [
        ("PUT /admin/*", "PUT", "/admin/", True),
        ("PUT /admin/*", "PUT", "/ad", True),
        ("PUT /admin/*", "PUT", "", True),
        ("PUT /admin/*", "PUT", "/admin/a/b", True),
        ("PUT /admin/*/x", "PUT", "/admin/a/b", True),
        ("PUT /[ab]/x", "PUT", "/c/", True),  # it cannot, and it is not looked at so closely
        ("PUT /admin/x", "PUT", "/admin/", True),
        ("* /admin/x", "DELETE", "/admin/", True),
        ("PUT /admin/*", "PUT", "/%61dmin/", True),
        ("PUT /admin/*", "PUT", "/admi%", True),
        ("PUT /admin/*", "PUT", "/admin/x?force=", True),
        ("PUT /admin/*", "PUT", "/public?x=", False),
        ("PUT /admin/*", "DELETE", "/admin/", False),
        ("PUT /admin/*", "PUT", "/public/", False),
        ("PUT /admin/x", "PUT", "/admin/xy", False),
    ],
)
def test_of_a_call_whose_path_is_not_known_yet_its_beginning_decides(
    pattern: str, method: str, beginning: str, *, fits: bool
) -> None:
    assert may_allow(["GET /other", pattern], method, beginning) is fits


@given(
    st.lists(st.text("/a?*[]b", min_size=1, max_size=5), min_size=1, max_size=3),
    st.text("/ab%6?", max_size=6),
    st.integers(0, 6),
)
def test_what_is_allowed_in_the_end_may_be_allowed_at_every_beginning(shapes: list[str], path: str, cut: int) -> None:
    patterns = [f"PUT /{shape}" for shape in shapes]
    if allows(patterns, "PUT", f"/{path}"):
        assert may_allow(patterns, "PUT", f"/{path}"[:cut])


@pytest.mark.parametrize(
    ("line", "filled"),
    [
        ("PUT /admin/{{ labels.a }}/x/{{ labels.b }}", "PUT /admin/…/x/…"),
        ("TRACE /{{ labels.a }}", "TRACE /…"),
        ("PUT {{ labels.path }}", "PUT /…"),
        ("{{ labels.method }} /a", "{{ labels.method }} /a"),
        ("PUT /a", "PUT /a"),
        ('PUT /{{ labels.a | default("}}#") }}', 'PUT /{{ labels.a | default("}}#") }}'),
        ("P{{ labels.method }} /a", "P{{ labels.method }} /a"),
    ],
)
def test_the_rest_of_a_call_is_looked_at_with_an_ellipsis_for_what_is_to_come(line: str, filled: str) -> None:
    assert filled_in(line) == filled
