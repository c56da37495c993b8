from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from played import limited
from tools import Tools, says

from millstream.agent.arguments import Schema, WrongArguments
from millstream.agent.bounds import bounded
from millstream.agent.toolbox import Rules, Toolbox
from millstream.core.messages import MediaPart, TextPart
from millstream.tools.base import ToolContext, ToolOutcome, ToolSpec

CONTEXT = ToolContext("run", "call", lambda _: None)


def names(*sources: Tools, rules: Rules | None = None) -> list[str]:
    return list(limited(Toolbox(sources, rules).list()).tools)


def test_names_that_two_sources_have_are_prefixed_in_both() -> None:
    one = Tools("git").add("log", says("")).add("diff", says(""))
    other = Tools("app").add("log", says(""))
    assert names(one, other) == ["git_log", "diff", "app_log"]


def test_a_call_by_a_prefixed_name_reaches_the_source_under_its_own() -> None:
    async def main() -> None:
        one, other = Tools("git").add("log", says("git's")), Tools("app").add("log", says("app's"))
        box = Toolbox([one, other])
        tools = (await box.list()).tools
        assert (await box.run(tools["app_log"], {}, CONTEXT)).content == "app's"
        assert other.calls == [("log", {})]
        assert one.calls == []

    limited(main())


def test_names_are_made_what_every_provider_takes() -> None:
    found = names(Tools().add("read file/2.0", says("")).add("x" * 80, says("")).add("x" * 90, says("")))
    assert found[0] == "read_file_2_0"
    assert all(len(name) <= 64 for name in found)
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (Rules(allow=("git",)), ["log"]),
        (Rules(allow=("app/*",)), ["send"]),
        (Rules(permissions={"send": "deny"}), ["log"]),
        (Rules(permissions={"send": "allow", "*": "deny"}), ["send"]),
    ],
)
def test_rules_say_which_tools_there_are(rules: Rules, left: list[str]) -> None:
    assert names(Tools("git").add("log", says("")), Tools("app").add("send", says("")), rules=rules) == left


def test_rules_come_before_what_a_source_says_of_its_tools() -> None:
    source = Tools().add("send", says(""), permission="ask", timeout=5.0).add("read", says(""), timeout=5.0)
    rules = Rules(permissions={"read": "ask"}, timeouts={"s*": 2.0})
    tools = limited(Toolbox([source], rules).list()).tools
    assert [(tool.name, tool.permission, tool.timeout) for tool in tools.values()] == [
        ("send", "ask", 2.0),
        ("read", "ask", 5.0),
    ]


def test_a_source_that_fails_leaves_the_others() -> None:
    class Failing(Tools):
        async def list(self) -> list[ToolSpec]:
            raise RuntimeError("boom")

    listing = limited(Toolbox([Failing("bad"), Tools().add("read", says(""))]).list())
    assert list(listing.tools) == ["read"]
    assert listing.missing == ("bad: RuntimeError: boom",)


def test_a_tool_that_does_not_let_itself_be_cancelled_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("millstream.agent.toolbox._GRACE_S", 0.05)

    async def main() -> None:
        let_go = asyncio.Event()

        async def stubborn(_: Mapping[str, Any], __: ToolContext) -> str:
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue
            return "late"

        box = Toolbox([Tools().add("work", stubborn, timeout=0.05)])
        outcome = await box.run((await box.list()).tools["work"], {}, CONTEXT)
        assert outcome.is_error
        let_go.set()
        await box.aclose()

    limited(main())


def test_closing_closes_every_source() -> None:
    one, other = Tools(), Tools("b")
    limited(Toolbox([one, other]).aclose())
    assert (one.closed, other.closed) == (True, True)


SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
    "required": ["path"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[1]", "one JSON object"),
        ("{}", "'path' is a required property"),
        ('{"path": 1}', "path: 1 is not of type 'string'"),
        ('{"path": "a", "limit": 0}', "limit: 0 is less than the minimum of 1"),
        ('{"path": "a", "pat": 1}', "'pat' was unexpected"),
        ('{"path": null}', "'path' is a required property"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_complaint_tells_the_model_what_to_repair(text: str, complaint: str) -> None:
    with pytest.raises(WrongArguments, match="Read") as wrong:
        Schema("Read", SCHEMA).read(text)
    assert complaint in str(wrong.value)


@pytest.mark.parametrize(
    ("text", "read"),
    [('{"path": "a"}', {"path": "a"}), ('{"path": "a", "limit": null}', {"path": "a"})],
)
def test_arguments_that_fit_are_read_and_null_stands_for_nothing(text: str, read: dict[str, Any]) -> None:
    assert Schema("Read", SCHEMA).read(text) == read


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:9/x"}, {"pattern": "("}])
def test_a_schema_that_is_none_lets_everything_pass(schema: dict[str, Any]) -> None:
    assert Schema("Read", schema).read('{"a": 1}') == {"a": 1}


def test_no_arguments_at_all_are_an_empty_object() -> None:
    assert Schema("Read", {"type": "object"}).read("  ") == {}


def test_parts_are_bounded_together() -> None:
    image = MediaPart("image", "image/png", data="a" * 5_000_000)
    outcome = ToolOutcome((TextPart("a" * 60), image, TextPart("b" * 60), image))
    parts = bounded(outcome, 100).content
    assert isinstance(parts, tuple)
    assert isinstance(parts[2], TextPart)
    assert parts[2].text.startswith("b" * 40 + "\n[truncated")
    assert parts[1] is image
    assert parts[3] == TextPart("[image/png left out: too large]")
