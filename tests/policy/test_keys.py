"""The gateway's own keys, and what they make of who shows one."""

from __future__ import annotations

import msgspec
import pytest

from millstream.core.errors import PolicyRefusal
from millstream.policy.caller import Caller, Limits
from millstream.policy.keys import KeyRecord, KeyRing, record_of

KEY = "msk_" + "x" * 43


def test_a_record_does_not_hold_the_key() -> None:
    record = record_of(KEY, "ci", 0.0)
    assert KEY not in msgspec.json.encode(record).decode()
    assert record.hint == "msk_…xxxx"


def test_only_the_key_itself_is_found_and_only_until_it_expires() -> None:
    ring = KeyRing([msgspec.structs.replace(record_of(KEY, "ci", 0.0), expires=100)], Limits())
    found = ring.find(KEY, 99.0)
    assert found is not None
    assert found.name == "ci"
    assert ring.find(KEY, 100.0) is None
    assert ring.find(KEY + "x", 0.0) is None
    assert ring.find(record_of(KEY, "ci", 0.0).sha256, 0.0) is None
    assert ring.find("\udce9", 0.0) is None


def test_what_a_key_does_not_bound_is_bounded_by_the_common_limits() -> None:
    record = KeyRecord(name="a", sha256="", tokens_per_minute=5)
    limits = record.caller(Limits(requests_per_minute=7, tokens_per_minute=9, budget=1.5, period="day")).limits
    assert limits == Limits(7, 5, 1.5, "day")


def test_keys_of_one_user_share_what_is_stored_and_others_do_not() -> None:
    def owner(name: str, user: str | None) -> str:
        return KeyRecord(name=name, sha256="", user=user).caller(Limits()).owner

    assert owner("a", "ann") == owner("b", "ann")
    assert len({owner("a", None), owner("b", None), owner("a", "a"), owner("a", "ann"), ""}) == 5


@pytest.mark.parametrize("name", ["", "a b", "-x", "a\nb", "x" * 65, "../a", "a\x00"])
def test_names_are_fit_for_logs_and_headers(name: str) -> None:
    with pytest.raises(ValueError, match="a key's name"):
        record_of(KEY, name, 0.0)


def test_models_are_patterns_of_any_of_their_names() -> None:
    caller = Caller(models=("groq/*", "small"))
    assert caller.may_use("small", "openai/gpt-5")
    assert caller.may_use("big", "groq/openai/gpt-oss-120b")
    assert not caller.may_use("big", "openai/gpt-5")
    assert Caller().may_use("anything")


def test_a_users_credentials_are_for_that_user_alone() -> None:
    Caller(user="ann").require_user("ann")
    Caller(user=None).require_user("anybody")
    with pytest.raises(PolicyRefusal) as caught:
        Caller(user="ann").require_user("bob")
    assert caught.value.status == 403
