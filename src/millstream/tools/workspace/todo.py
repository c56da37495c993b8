"""TodoWrite: the list of what is to be done, kept as long as the run."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from millstream.tools.base import Progress, ToolContext, ToolOutcome
from millstream.tools.workspace.family import Arguments, WorkspaceTool

STATE = "workspace.todos"
_MARKS = {"pending": "[ ]", "in_progress": "[~]", "completed": "[x]"}


class Todo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    content: Annotated[str, Meta(min_length=1, description="What is to be done")]
    status: Literal["pending", "in_progress", "completed"]
    active_form: Annotated[str, Meta(min_length=1, description="The same as it is being done: 'Running tests'")] = (
        msgspec.field(name="activeForm", default="Working")
    )


class TodoWriteArguments(Arguments):
    todos: Annotated[list[Todo], Meta(max_length=200, description="The whole list, in place of the one before")]


class Todos:
    """``context.state["workspace.todos"]`` is the list."""

    def tools(self) -> list[WorkspaceTool]:
        return [
            WorkspaceTool(
                "TodoWrite",
                "Keeps the list of steps of a longer task, and shows it. Give the whole list each time; have one step"
                " in progress at a time, and complete it as soon as it is done.",
                TodoWriteArguments,
                self._write,
            )
        ]

    async def _write(self, arguments: TodoWriteArguments, context: ToolContext) -> ToolOutcome:
        context.state[STATE] = todos = tuple(arguments.todos)
        done = sum(todo.status == "completed" for todo in todos)
        now = next((todo.active_form for todo in todos if todo.status == "in_progress"), None)
        context.progress(Progress(current=done, total=len(todos), message=now))
        lines = [f"{_MARKS[todo.status]} {todo.content}" for todo in todos]
        return ToolOutcome("\n".join([f"{done} of {len(todos)} done.", *lines]))
