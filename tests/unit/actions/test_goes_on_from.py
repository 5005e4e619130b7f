"""Which actions a plan shows behind one another: those that compute the same fields from what is there."""

import pytest

from responder.actions.http_request import HttpRequest
from responder.actions.kubernetes_hpa import Hpa
from responder.actions.kubernetes_scale import Scale
from responder.ports.action import Action


def request(path: str = "/workers", **changes: object) -> HttpRequest:
    calls = {"read": f"GET {path}", "send": f"PUT {path}"}
    return HttpRequest.model_validate({"service": "shop", **calls, "set": {"n": {"by": 1}}, **changes})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Scale(by=2, max=9), Scale(to=3), True),
        (Hpa(min=3), Hpa(max=9), True),
        (Scale(to=3), Hpa(min=3), False),
        (request(), request(set={"n": {"to": 4}}), True),
        (request(), request("/cache"), False),
        (request(), request(service="other"), False),
        (request(), request(pointer="/spec"), False),
        (request(), request(send="PATCH /workers"), True),
        (request(), Scale(to=3), False),
    ],
)
def test_what_computes_the_same_fields_goes_on_from_it(one: Action, other: Action, *, same: bool) -> None:
    assert one.goes_on_from(other) is same
    assert other.goes_on_from(one) is same
