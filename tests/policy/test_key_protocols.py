"""Keys of browsers' WebSockets, which travel among the protocols that are offered."""

import pytest

from millstream.policy.auth import shown_keys


@pytest.mark.parametrize(
    ("offered", "keys"),
    [
        ("millstream, millstream.bearer.c2VzYW1l", ["sesame"]),
        ("millstream.bearer.a8O8c3RlbiA_", ["küsten ?"]),
        ("millstream", []),
        ("chat, superchat", []),
        ("millstream.bearer.", []),
        ("millstream.bearer.c", []),
        ("millstream.bearer._w", []),
        ("millstream.bearer.\xe9", []),
    ],
)
def test_a_key_is_found_among_the_protocols_and_nothing_else_is(offered: str, keys: list[str]) -> None:
    assert shown_keys({"sec-websocket-protocol": offered}) == keys
