"""Signatures are bytes in base64 to Google's clients, whoever made them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.messages import Opaque
from millstream.dialects.gemini.signatures import Held, for_client, for_upstream, from_client


@given(st.text(min_size=1), st.booleans(), st.booleans())
def test_a_foreign_value_survives_a_client_that_decodes_it(value: str, redacted: bool, url_safe: bool) -> None:
    opaque = Opaque("anthropic", value)
    decoded = base64.b64decode(for_client(opaque, redacted=redacted), validate=True)
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    assert from_client(encode(decoded).decode()) == Held(opaque, redacted)
    assert from_client(encode(decoded).decode().rstrip("=")) == Held(opaque, redacted)


@pytest.mark.parametrize(
    "value", ["EvsDCvgDAQw51sc+/Q==", "skip_thought_signature_validator", "bWlsbHN0cmVh", "bWlsbHN0cmVh!"]
)
def test_googles_own_value_is_left_as_it_is(value: str) -> None:
    opaque = Opaque("gemini", value)
    assert for_client(opaque) == value
    assert from_client(value) == Held(opaque)


def test_an_upstream_sees_only_its_own() -> None:
    assert for_upstream(Opaque("gemini", "c2ln")) == "c2ln"
    assert for_upstream(Opaque("anthropic", "EqQB")) is None
    assert for_upstream(None) is None
