"""Task and ExitPlanMode: work handed to an agent of its own, and a plan handed to the user."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from millstream.tools.base import Progress, ToolContext, ToolOutcome
from millstream.tools.workspace.family import Arguments, ToolFault, WorkspaceTool, bounded
from millstream.tools.workspace.options import WorkspaceOptions

PLAN_STATE = "workspace.plan"
_TYPES = ("general-purpose", "explore")
_EXPLORING = ("LS", "Read", "Glob", "Grep", "WebFetch", "WebSearch")
_MOST_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """``iterations`` are model calls; ``seconds`` are for all of them with their tools."""

    iterations: int
    seconds: float


RunAgent = Callable[[str, Sequence[str], AgentLimits], Awaitable[str]]
"""Runs an agent on a prompt with the named tools and gives its last words. Cancelling it ends it."""


class TaskArguments(Arguments):
    description: Annotated[str, Meta(description="The task in three to five words")]
    prompt: Annotated[str, Meta(min_length=1, description="All that the agent needs to know; it sees nothing else")]
    subagent_type: Annotated[
        str, Meta(description="general-purpose (all tools but Task) or explore (only reads and searches)")
    ] = "general-purpose"


class ExitPlanModeArguments(Arguments):
    plan: Annotated[str, Meta(min_length=1, description="The plan, in markdown")]


class Tasks:
    """``run_agent`` None leaves Task out. ``names`` gives what tools there are."""

    def __init__(
        self, options: WorkspaceOptions, run_agent: RunAgent | None, names: Callable[[], Sequence[str]]
    ) -> None:
        self._options = options
        self._run_agent = run_agent
        self._names = names
        self._running = asyncio.Semaphore(_MOST_AT_ONCE)

    def tools(self) -> list[WorkspaceTool]:
        plan = WorkspaceTool(
            "ExitPlanMode",
            "Shows the user your plan before anything is changed. Use it once the plan is complete.",
            ExitPlanModeArguments,
            self._exit_plan_mode,
        )
        run_agent = self._run_agent
        if run_agent is None:
            return [plan]
        task = WorkspaceTool(
            "Task",
            "Hands a task to another agent, which works on its own and reports once. Several run side by side if they"
            " are called in one turn.",
            TaskArguments,
            lambda arguments, context: self._task(run_agent, arguments, context),
        )
        return [task, plan]

    async def _task(self, run_agent: RunAgent, arguments: TaskArguments, context: ToolContext) -> ToolOutcome:
        if arguments.subagent_type not in _TYPES:
            raise ToolFault(f"unknown subagent_type {arguments.subagent_type}; there are {', '.join(_TYPES)}")
        names = [name for name in self._names() if name not in ("Task", "ExitPlanMode")]
        if arguments.subagent_type == "explore":
            names = [name for name in names if name in _EXPLORING]
        context.progress(Progress(message=arguments.description))
        async with self._running:
            limits = AgentLimits(iterations=self._options.task_iterations, seconds=self._options.timeout("Task"))
            try:
                async with asyncio.timeout(limits.seconds):
                    said = await run_agent(arguments.prompt, names, limits)
            except TimeoutError as error:
                raise ToolFault(
                    f"the agent did not finish within {limits.seconds:g} s; give it a smaller task"
                ) from error
        return ToolOutcome(bounded(said or "(The agent said nothing.)", self._options.output_limit, "Ask for less."))

    async def _exit_plan_mode(self, arguments: ExitPlanModeArguments, context: ToolContext) -> ToolOutcome:
        context.state[PLAN_STATE] = arguments.plan
        context.progress(Progress(message=arguments.plan))
        return ToolOutcome("The plan was shown to the user. Go on with it unless they object.")
