"""What goes into a column comes out of it, or a mended version of it."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from responder.stores.core.types import clean, decode, encode, instant, micros

texts = st.text(st.characters(codec=None))  # lone surrogates and NUL included
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_survives_to_the_microsecond(at: datetime) -> None:
    assert instant(micros(at)) == at


def test_instants_keep_their_order_across_1970() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert micros(epoch - timedelta(microseconds=1)) == -1


@given(texts)
def test_clean_text_is_storable_and_clean_already(text: str) -> None:
    cleaned = clean(text)
    assert "\x00" not in cleaned
    cleaned.encode()
    assert clean(cleaned) == cleaned


@given(st.text(st.characters(exclude_characters="\x00", codec="utf-8")))
def test_text_that_was_fine_stays_as_it_was(text: str) -> None:
    assert clean(text) == text
    assert decode(encode([text, {text: 1}])) == [text, {text: 1}]


@given(values)
def test_any_value_becomes_json_that_both_databases_take(value: object) -> None:
    text = encode(value)
    text.encode()
    assert "\x00" not in json.dumps(json.loads(text), ensure_ascii=False)
    json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(AssertionError(name)))


def test_a_backslash_before_u0000_is_not_a_nul() -> None:
    assert decode(encode(r"C:\u0000")) == r"C:\u0000"
