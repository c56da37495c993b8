"""A conversation in the order this API demands.

What its own client wrote stays as it is. Another API's client orders things more freely, so for it: leading system
messages are hoisted into ``system``; a call's results come first in the message right after it, all in one; a later
system message keeps its place, or becomes a user's text in ``<system-reminder>`` tags where the model takes no such
role; what is empty is left out; and the first turn is a user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.core.messages import Message, Request
from millstream.dialects.anthropic.blocks_out import Block, PartsOut, own_fields

_OPENING = "(The conversation begins with the assistant.)"
_SYSTEM = frozenset({"system", "developer"})


class Turns:
    """``system`` holds blocks, ``messages`` wire messages."""

    def __init__(self, request: Request, parts: PartsOut, *, own: bool, mid_system: bool) -> None:
        self.system: list[Block] = parts.blocks(request.system, "system")
        self.messages: list[dict[str, Any]] = []
        self._parts = parts
        self._mid_system = mid_system
        if own:
            self._keep(request.messages)
        else:
            self._arrange(request.messages)

    def _keep(self, messages: Sequence[Message]) -> None:
        for number, message in enumerate(messages):
            path = f"messages.{number}.content"
            blocks = self._parts.blocks(message.parts, path, said_by_model=message.role == "assistant")
            if message.role in _SYSTEM and not self._mid_system:
                self._append("user", _reminder(blocks))
            elif message.plain:
                self.messages.append({"role": message.role, "content": blocks[0]["text"], **own_fields(message.extra)})
            elif message.role == "system" and not message.parts:
                self.messages.append({"role": "system", **own_fields(message.extra)})
            elif blocks or not message.parts:
                self.messages.append({"role": message.role, "content": blocks, **own_fields(message.extra)})

    def _arrange(self, messages: Sequence[Message]) -> None:
        for number, message in enumerate(messages):
            path = f"messages.{number}.content"
            blocks = self._parts.blocks(message.parts, path, said_by_model=message.role == "assistant")
            if not blocks:
                continue
            if message.role not in _SYSTEM:
                self._append(message.role, blocks)
            elif not self.messages:
                self.system += blocks
            elif self._mid_system:
                self._append("system", blocks)
            else:
                self._append("user", _reminder(blocks))
        self._begin_with_user()
        self._trim_last()

    def _append(self, role: str, blocks: list[Block]) -> None:
        results = [block for block in blocks if block["type"] == "tool_result"]
        if results:
            self._answer(results)
            blocks = [block for block in blocks if block["type"] != "tool_result"]
        last = self.messages[-1] if self.messages else None
        if not blocks:
            return
        if last is not None and last["role"] == role == "user" and _has_results(last):
            last["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _answer(self, results: list[Block]) -> None:
        """Put results right after the calls, before whatever was said since."""
        after = len(self.messages)
        while after and self.messages[after - 1]["role"] != "assistant":
            after -= 1
        if after < len(self.messages) and self.messages[after]["role"] == "user":
            content = self.messages[after]["content"]
            known = sum(block["type"] == "tool_result" for block in content)
            content[known:known] = results
        else:
            self.messages.insert(after, {"role": "user", "content": results})

    def _begin_with_user(self) -> None:
        if not self.messages and self.system:
            self.messages.append({"role": "user", "content": [self.system.pop()]})
        elif self.messages and self.messages[0]["role"] == "assistant":
            self.messages.insert(0, {"role": "user", "content": [{"type": "text", "text": _OPENING}]})

    def _trim_last(self) -> None:
        """A last message of the assistant's is continued, and the API refuses white space at its end."""
        last = self.messages[-1] if self.messages else None
        if last is not None and last["role"] == "assistant" and last["content"][-1]["type"] == "text":
            block = last["content"][-1]
            last["content"][-1] = {**block, "text": block["text"].rstrip()}


def calls_unthought(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether the turn under way made calls without thinking first: thinking with a budget is refused then."""
    for message in reversed(messages):
        if message["role"] == "assistant":
            kinds = [block["type"] for block in message["content"]]
            if "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking"):
                return True
        elif message["role"] == "user" and not _has_results(message):
            return False
    return False


def _has_results(message: dict[str, Any]) -> bool:
    content = message["content"]
    return isinstance(content, list) and any(block["type"] == "tool_result" for block in content)


def _reminder(blocks: list[Block]) -> list[Block]:
    text = "\n\n".join(block["text"] for block in blocks if block["type"] == "text")
    return [{"type": "text", "text": f"<system-reminder>\n{text}\n</system-reminder>"}]
