"""What a label's text becomes where a number stands."""

import pytest

from responder.actions.http_request import HttpRequest


def request(value: str) -> HttpRequest:
    return HttpRequest.model_validate(
        {"service": "s", "read": "GET /w", "send": "PATCH /w", "json": {"workers": value, "colour": "red"}},
    )


def test_a_text_that_is_a_number_becomes_one_where_a_number_stands() -> None:
    assert request("9").change({"workers": 4, "colour": "blue"}) == {"workers": 9, "colour": "red"}


@pytest.mark.parametrize("value", ["nine", "", "NaN", "</x>", "inf"])
def test_another_text_is_refused_where_a_number_stands(value: str) -> None:
    with pytest.raises(ValueError, match="a number"):
        request(value).change({"workers": 4, "colour": "blue"})


def test_a_text_stays_one_where_a_text_stands() -> None:
    assert request("9").change({"workers": "4", "colour": "blue"}) == {"workers": "9", "colour": "red"}
