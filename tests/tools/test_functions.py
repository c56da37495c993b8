from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

import millstream
from millstream.core.messages import MediaPart
from millstream.testing.tool_source import Call, check_tool_source
from millstream.tools.base import Progress, ToolContext, ToolOutcome
from millstream.tools.functions import Functions, FunctionTool, Report, ToolError


class Point(msgspec.Struct):
    x: int
    y: int = 0


@millstream.tool
def plain(text: str, times: Annotated[int, msgspec.Meta(ge=1, description="How often")] = 1) -> str:
    """Repeats a text."""
    return text * times


@millstream.tool(name="points", timeout=3, permission="ask")
async def of_points(points: list[Point], kind: Literal["sum", "count"] = "sum") -> dict[str, int]:
    """Adds points."""
    return {"x": sum(point.x for point in points), "n": len(points)}


@millstream.tool
async def endless(report: Report) -> None:
    """Never ends."""
    report(1, 2, "waiting")
    await asyncio.Event().wait()


@millstream.tool
def failing(how: str) -> None:
    """Fails."""
    raise ToolError("as was said") if how == "said" else KeyError("unexpected")


def _call(tool: FunctionTool[Any, Any], context: ToolContext, /, **arguments: Any) -> ToolOutcome:
    return asyncio.run(Functions([tool]).call(tool.spec.name, arguments, context))


def test_functions_keep_the_contract_of_a_source() -> None:
    calls = [
        Call("plain", {"text": "a"}),
        Call("points", {"points": [{"x": 1}]}),
        Call("failing", {"how": "said"}, fails=True),
        Call("endless", endless=True),
    ]
    asyncio.run(check_tool_source(lambda: Functions([plain, of_points, endless, failing]), calls))


def test_the_schema_is_that_of_the_types_in_plain_words() -> None:
    assert plain.spec.parameters == {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "times": {"type": "integer", "minimum": 1, "description": "How often", "default": 1},
        },
        "required": ["text"],
        "additionalProperties": False,
    }
    assert plain.spec.description == "Repeats a text."
    assert "$ref" not in str(of_points.spec.parameters)
    assert (of_points.spec.name, of_points.spec.timeout, of_points.spec.permission) == ("points", 3, "ask")


def test_a_tool_is_still_the_function() -> None:
    assert plain("ab", times=2) == "abab"


def test_results_are_text_json_or_parts(context: ToolContext) -> None:
    assert _call(plain, context, text="a", times=3) == ToolOutcome("aaa")
    assert _call(of_points, context, points=[{"x": 1}, {"x": 2, "y": 3}]) == ToolOutcome('{"x":3,"n":2}')
    picture = MediaPart(kind="image", media_type="image/png", data="QUJD")
    assert _call(millstream.tool(name="draw", description="d")(lambda: picture), context).content == (picture,)


def test_what_does_not_fit_and_what_fails_is_told(context: ToolContext) -> None:
    assert "Expected `int` >= 1" in str(_call(plain, context, text="a", times=0).content)
    assert _call(failing, context, how="said") == ToolOutcome("as was said", is_error=True)
    assert _call(failing, context, how="otherwise") == ToolOutcome("KeyError: 'unexpected'", is_error=True)


def test_progress_comes_to_the_loop_from_a_thread_too(context: ToolContext, progress: list[Progress]) -> None:
    @millstream.tool
    def slow(report: Report, context: ToolContext) -> str:
        report(1, 2, "half")
        return f"{context.call_id} {threading.current_thread() is threading.main_thread()}"

    assert slow.spec.parameters["properties"] == {}
    assert _call(slow, context).content == "call False"
    assert progress == [Progress(1, 2, "half")]


def test_a_default_list_is_not_shared_between_calls(context: ToolContext) -> None:
    @millstream.tool
    def grow(items: list[int] = [1]) -> list[int]:  # noqa: B006 - what is tested
        items.append(2)
        return items

    assert [_call(grow, context).content for _ in range(2)] == ["[1,2]", "[1,2]"]


def test_functions_a_model_cannot_call_are_refused() -> None:
    def untyped(x) -> None: ...  # type: ignore[no-untyped-def]  # what is tested

    def several(*x: int) -> None: ...

    def strange(x: threading.Lock) -> None: ...

    for function in (untyped, several, strange):
        with pytest.raises(TypeError, match=f"tool {function.__name__}: "):
            millstream.tool(function)
    with pytest.raises(ValueError, match="two tools are called plain"):
        Functions([plain, plain])


def test_the_example_of_the_guide_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/tools.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/tools.md", "exec", dont_inherit=True), {"__name__": "example"})
    assert "'minimum': 1" in capsys.readouterr().out
