"""Opaque values pass through foreign clients and come back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.messages import Opaque
from millstream.core.opaque import MAX_SIGNED_ID, sign_call_id, split_call_id, unwrap, wrap

GEMINI_SIGNATURE = "EvsDCvgDAQw51sfOm202VhDM/fOzDucl3NeMekki+Q=="


def test_a_foreign_value_returns_with_its_origin() -> None:
    opaque = Opaque("anthropic", "EqQB.with.dots==")
    assert wrap(opaque, "gemini") != opaque.value
    assert unwrap(wrap(opaque, "gemini"), "gemini") == opaque


def test_an_own_value_is_given_bare() -> None:
    assert wrap(Opaque("gemini", GEMINI_SIGNATURE), "gemini") == GEMINI_SIGNATURE
    assert unwrap(GEMINI_SIGNATURE, "gemini") == Opaque("gemini", GEMINI_SIGNATURE)


def test_a_call_id_carries_a_signature_in_url_safe_characters() -> None:
    signed = sign_call_id("call_1", Opaque("gemini", GEMINI_SIGNATURE))
    assert signed.startswith("call_1~ms~gemini~")
    assert not set(signed) & set("+/= \t\n\"'")
    assert split_call_id(signed) == ("call_1", Opaque("gemini", GEMINI_SIGNATURE))


def test_a_call_without_a_signature_keeps_its_id() -> None:
    assert sign_call_id("call_1", None) == "call_1"
    assert split_call_id("call_1") == ("call_1", None)


@given(call_id=st.text(max_size=40), origin=st.sampled_from(["gemini", "openai_responses"]), value=st.text(min_size=1))
def test_any_id_and_any_value_survive_the_way_out_and_back(call_id: str, origin: str, value: str) -> None:
    opaque = Opaque(origin, value)
    assert split_call_id(sign_call_id(call_id, opaque)) == (call_id, opaque)


def test_a_signature_that_would_make_the_id_too_long_is_left_out() -> None:
    short = Opaque("gemini", "A" * (MAX_SIGNED_ID // 2))
    assert len(sign_call_id("call_1", short)) <= MAX_SIGNED_ID
    assert split_call_id(sign_call_id("call_1", short)) == ("call_1", short)
    assert sign_call_id("call_1", Opaque("gemini", "A" * MAX_SIGNED_ID)) == "call_1"


def test_a_signed_id_may_be_signed_again_by_a_gateway_in_front() -> None:
    inner = sign_call_id("call_1", Opaque("gemini", "inner"))
    assert split_call_id(sign_call_id(inner, Opaque("gemini", "outer"))) == (inner, Opaque("gemini", "outer"))


@pytest.mark.parametrize("text", ["a~ms~", "a~ms~gemini", "a~ms~gemini~", "a~ms~gemini~ä", "a~ms~gemini~_w", "~ms~"])
def test_an_id_that_only_looks_signed_stays_as_it_is(text: str) -> None:
    assert split_call_id(text) == (text, None)
