from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from millstream.config import Config, ConfigError, SearchConfig, ToolsConfig, WorkspaceConfig
from millstream.registry import workspace_tools
from millstream.testing.tool_source import Call, check_tool_source
from millstream.tools.base import Progress, ToolContext, ToolOutcome, ToolSourceError
from millstream.tools.workspace import AgentLimits, SearchBackend, WorkspaceOptions, WorkspaceTools

FREE = ("LS", "Read", "Glob", "Grep", "WebFetch", "TodoWrite", "ExitPlanMode")
GIVEN = ("Write", "Edit", "MultiEdit", "Bash", "WebSearch", "Task")


async def _agent(prompt: str, tools: Sequence[str], limits: AgentLimits) -> str:
    if prompt == "never end":
        await asyncio.Event().wait()
    return f"{prompt} {' '.join(tools)} {limits.iterations}"


def _all(root: Path) -> WorkspaceTools:
    given = WorkspaceOptions(
        root,
        allow=frozenset({"Write", "Bash"}),
        unsafe=True,
        search=SearchBackend("brave", "k"),
        timeouts={"Task": 0.2},
    )
    return WorkspaceTools(given, _agent)


def test_the_source_keeps_its_contract(root: Path) -> None:
    (root / "f").write_text("x")
    calls = [
        Call("LS"),
        Call("Read", {"file_path": "f"}),
        Call("Read", {"file_path": "../f"}, fails=True),
        Call("Read", {"nothing": 1}, fails=True),
        Call("Grep", {"pattern": "x"}),
        Call("Bash", {"command": "echo x"}),
        Call("Bash", {"command": "echo x; sleep 1000"}, endless=True),
        Call("TodoWrite", {"todos": [{"content": "a", "status": "pending", "activeForm": "b"}]}),
    ]
    asyncio.run(check_tool_source(lambda: _all(root), calls))


def test_all_thirteen_are_there_where_everything_is_given(root: Path) -> None:
    assert sorted(spec.name for spec in asyncio.run(_all(root).list())) == sorted(FREE + GIVEN)
    few = asyncio.run(WorkspaceTools(WorkspaceOptions(root)).list())
    assert {spec.name for spec in few} == set(FREE)


def test_task_gives_an_agent_its_tools_and_limits(root: Path, context: ToolContext) -> None:
    tools = _all(root)

    def task(prompt: str, kind: str) -> ToolOutcome:
        arguments = {"description": "d", "prompt": prompt, "subagent_type": kind}
        return asyncio.run(tools.call("Task", arguments, context))

    assert task("do", "explore") == ToolOutcome("do LS Read Glob Grep WebFetch WebSearch 15")
    assert "Bash" in str(task("do", "general-purpose").content)
    assert " Task" not in str(task("do", "general-purpose").content)
    assert "did not finish within 0.2 s" in str(task("never end", "explore").content)
    assert task("do", "unheard-of").is_error


def test_todos_stay_with_the_run(root: Path, context: ToolContext, progress: list[Progress]) -> None:
    todos = [
        {"content": "a", "status": "completed", "activeForm": "doing a"},
        {"content": "b", "status": "in_progress", "activeForm": "doing b"},
    ]
    told = asyncio.run(_all(root).call("TodoWrite", {"todos": todos}, context))
    assert told.content == "1 of 2 done.\n[x] a\n[~] b"
    assert progress == [Progress(1, 2, "doing b")]
    assert [todo.content for todo in context.state["workspace.todos"]] == ["a", "b"]


def test_a_plan_is_shown(root: Path, context: ToolContext, progress: list[Progress]) -> None:
    assert not asyncio.run(_all(root).call("ExitPlanMode", {"plan": "# First"}, context)).is_error
    assert progress == [Progress(message="# First")]


@pytest.mark.parametrize("root", [Path("/"), Path("/nowhere/at/all")])
def test_a_root_that_bounds_nothing_is_refused(root: Path) -> None:
    with pytest.raises(ToolSourceError, match=r"tools\.workspace\.root"):
        asyncio.run(WorkspaceTools(WorkspaceOptions(root)).list())


def test_the_configuration_sets_it_up(root: Path) -> None:
    def config(**own: object) -> Config:
        return Config(tools=ToolsConfig(workspace=WorkspaceConfig(**own)))  # type: ignore[arg-type]  # as in a file

    assert workspace_tools(Config(), {}) is None
    assert workspace_tools(config(root=str(root)), {}) is not None
    search = SearchConfig(service="brave")
    assert workspace_tools(config(root=str(root), search=search), {"BRAVE_API_KEY": "k"}) is not None
    for wrong, why in (
        (config(root=str(root / "x")), "is not a directory"),
        (config(root=str(root), search=search), "BRAVE_API_KEY"),
        (config(root=str(root), search=SearchConfig(service="searxng")), "url is missing"),
    ):
        with pytest.raises(ConfigError, match=why):
            workspace_tools(wrong, {})
