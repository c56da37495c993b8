"""Turns → messages for an upstream.

A history of this API's own client goes back as it came. Any other is brought into the form this API demands
(https://platform.openai.com/docs/guides/function-calling): one system prompt first, a tool's result in a message of its
own directly after the call it answers, and what else the user said after all results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from millstream.core.messages import (
    MediaPart,
    Message,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UnknownPart,
)
from millstream.dialects.base import custom_arguments
from millstream.dialects.openai_chat import reasoning, wire
from millstream.dialects.openai_chat.calls import LEGACY
from millstream.dialects.openai_chat.ids import CallIds, tool_name
from millstream.dialects.openai_chat.messages_in import REFUSED, SYSTEM, UNTYPED
from millstream.dialects.openai_chat.parts_in import PART
from millstream.dialects.openai_chat.parts_out import BETWEEN, PartsOut, spoken, text_of, with_error
from millstream.dialects.openai_chat.quirks import OpenAIChatQuirks, reasoning_style

Wire = dict[str, Any]

_SYSTEM_ROLES = ("system", "developer")
_NO_IMAGES = "[An image was here, which this model cannot see.]"
_IMAGE_FOLLOWS = "[The image follows.]"
_HEARD = "OK."
_OF_RESULT = "From the result of the tool {}:"


class MessagesOut:
    """``dropped`` names what this API has no words for. Raises ``ClientFault`` for what may not be left out."""

    def __init__(self, request: Request, quirks: OpenAIChatQuirks, model: str) -> None:
        self.messages: list[Wire] = []
        self._quirks = quirks
        self._own = request.origin == wire.NAME
        self._thinks = reasoning_style(quirks, model) != "none"
        self._parts = PartsOut(quirks, own=self._own)
        self._ids = CallIds(quirks.call_ids)
        self._homes: dict[str, Wire] = {}
        self._names: dict[str, str] = {}
        self._answers: dict[int, list[Wire]] = {}
        self._add_system(request)
        for number, message in enumerate(request.messages):
            self._add(message, f"messages[{number}]")
        self._place_answers()
        if quirks.alternate_roles:
            self._join_users()
        if not quirks.user_after_tool:
            self._part_from_tools()

    @property
    def dropped(self) -> list[str]:
        return self._parts.dropped

    def instruct(self, sentences: Sequence[str]) -> None:
        """Add to the system prompt what cannot be told otherwise."""
        if not sentences:
            return
        first = self.messages[0] if self.messages and self.messages[0]["role"] in _SYSTEM_ROLES else None
        text = BETWEEN.join(sentences)
        if first is None:
            self.messages.insert(0, {"role": self._quirks.system_role, "content": text})
        elif isinstance(first["content"], str):
            first["content"] = BETWEEN.join(filter(None, (first["content"], text)))
        else:
            first["content"] = [*first["content"], {"type": "text", "text": text}]

    def mark_prefill(self, *, own: bool) -> bool:
        """Mark a last message of the assistant's as the beginning of its answer, ``own``: also in the request of a
        client that could have marked it. Whether there is one."""
        last = self.messages[-1] if self.messages else None
        if (self._own and not own) or last is None or last["role"] != "assistant" or "tool_calls" in last:
            return False
        if self._quirks.prefill in ("prefix", "partial"):
            last[self._quirks.prefill] = True
        return True

    def _add_system(self, request: Request) -> None:
        if not request.system:
            return
        about = dict(wire.own(getattr(request.system[0], "extra", None)).get(SYSTEM, {}))
        role = about.pop("role", "system" if self._own else self._quirks.system_role)
        content = self._content(request.system, "system", plain=request.system_plain)
        self.messages.append({"role": role, "content": content, **about})

    def _add(self, message: Message, path: str) -> None:
        if message.role in _SYSTEM_ROLES:
            self._add_instruction(message, path)
        elif message.role == "assistant":
            self._add_assistant(message, path)
        else:
            self._add_user(message, path)

    def _add_instruction(self, message: Message, path: str) -> None:
        """System messages may come at any place; where only one may, the others are said by the user."""
        content = self._content(message.parts, f"{path}.content", plain=message.plain)
        leads = all(earlier["role"] in _SYSTEM_ROLES for earlier in self.messages)
        if leads and self.messages and not self._own:
            self._extend(self.messages[0], content)
        elif leads or not self._quirks.leading_system_only:
            role = message.role if self._own else self._quirks.system_role
            self._append(role, content, message)
        else:
            text = BETWEEN.join(filter(None, map(text_of, message.parts)))
            self._append("user", f"<system-reminder>\n{text}\n</system-reminder>", message)

    def _append(self, role: str, content: Any, message: Message) -> None:
        named = {} if message.name is None else {"name": message.name}
        self.messages.append({"role": role, "content": content, **named, **wire.own_fields(message.extra)})

    def _content(self, parts: Iterable[Part], path: str, *, plain: bool) -> Any:
        """Parts as they came, for a client of this dialect. For others, text is one string, which every provider and
        template takes, unless there is more than text, or the ends of cached prefixes are to be told."""
        parts = tuple(parts)
        if self._own:
            first = parts[0] if plain and parts else None
            return first.text if isinstance(first, TextPart) else self._parts.parts(parts, path)
        parts = tuple(part for part in parts if (not isinstance(part, TextPart) or part.text) and self._is_said(part))
        texts = [text_of(part) for part in parts]
        cached = self._quirks.cache_control and any(getattr(part, "cache", None) is not None for part in parts)
        if any(text is None for text in texts) or cached:
            return self._parts.parts(parts, path)
        return BETWEEN.join(text for text in texts if text)

    def _is_said(self, part: Part) -> bool:
        """Whether ``part`` is content; another API's bookkeeping is left out."""
        if not isinstance(part, UnknownPart) or part.asked:
            return True
        self._parts.drop(part)
        return False

    def _add_user(self, message: Message, path: str) -> None:
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        others = tuple(part for part in message.parts if not isinstance(part, ToolResultPart))
        seen: list[Any] = []
        for result in results:
            self._add_result(result, seen, path)
        if not others and results:
            if seen:
                self.messages.append({"role": "user", "content": seen})
            return
        content = self._content(others, f"{path}.content", plain=message.plain)
        if seen:
            content = [*seen, *_as_parts(content)]
        if content or self._own:
            self._append("user", content, message)

    def _add_result(self, result: ToolResultPart, seen: list[Any], path: str) -> None:
        """``seen`` collects what the user has to show, since a result may only hold text."""
        if LEGACY in wire.own(result.extra):
            fields = wire.own_fields(result.extra)
            self.messages.append({"role": "function", "name": result.name, "content": result.content, **fields})
            return
        content = self._result_content(result, seen, path)
        message: Wire = {"role": "tool", "tool_call_id": self._ids(result.call_id), "content": content}
        if result.name is not None and self._own:
            message["name"] = result.name
        message |= wire.own_fields(result.extra)
        home = self._homes.get(result.call_id)
        if self._own:
            self.messages.append(message)
        elif home is None:
            # The call has been cut out of the history: this API knows no result without one.
            text = content if isinstance(content, str) else BETWEEN.join(part.get("text", "") for part in content)
            said = f"{_OF_RESULT.format(result.name or result.call_id)}\n{text}"
            self.messages.append({"role": "user", "content": said})
        else:
            self._answers.setdefault(id(home), []).append(message)

    def _place_answers(self) -> None:
        """Each result goes directly behind the message that made its call."""
        if self._answers:
            self.messages = [
                placed for message in self.messages for placed in (message, *self._answers.get(id(message), ()))
            ]

    def _result_content(self, result: ToolResultPart, seen: list[Any], path: str) -> Any:
        if isinstance(result.content, str):
            return with_error(result.content, is_error=result.is_error)
        if self._own:
            return self._parts.parts(result.content, f"{path}.content")
        texts: list[str] = []
        media: list[Any] = []
        for part in result.content:
            text = text_of(part)
            if text is not None:
                texts.append(text)
            elif isinstance(part, MediaPart) and part.kind == "image" and not self._quirks.images:
                texts.append(_NO_IMAGES)
            else:
                media += self._parts.parts((part,), f"{path}.content")
        joined = with_error(BETWEEN.join(texts), is_error=result.is_error)
        if media and self._quirks.tool_images:
            return [*([{"type": "text", "text": joined}] if joined else []), *media]
        if media:
            name = self._names.get(result.call_id, result.name or result.call_id)
            seen += [{"type": "text", "text": _OF_RESULT.format(name)}, *media]
        return joined or (_IMAGE_FOLLOWS if media else "")

    def _add_assistant(self, message: Message, path: str) -> None:
        fields = wire.own_fields(message.extra)
        thoughts = [part for part in message.parts if isinstance(part, ReasoningPart)]
        said: list[Part] = [
            part for part in message.parts if not isinstance(part, ToolCallPart) and not _is_field(part)
        ]
        written: Wire = {"role": "assistant"}
        if self._own:
            said = [part for part in said if not isinstance(part, ReasoningPart) or PART in wire.own(part.extra)]
            if said:
                written["content"] = self._own_content(said, path, plain=message.plain)
            for part in message.parts:
                if _is_field(part):
                    written["refusal"] = text_of(part)
        else:
            spoken = tuple(part for part in said if not isinstance(part, ReasoningPart))
            written["content"] = self._said_by_assistant(spoken, path) or None
        self._add_calls(message, written)
        if not self._own:
            self._echo(thoughts, written)
        if message.name is not None:
            written["name"] = message.name
        written |= fields
        if self._own or len(written) > 2 or written["content"] is not None:
            self.messages.append(written)

    def _said_by_assistant(self, parts: tuple[Part, ...], path: str) -> Any:
        """Only words: what else a model said elsewhere, this API has no place for."""
        words = tuple(part for part in parts if text_of(part) is not None)
        for part in parts:
            if part not in words:
                self._parts.drop(part)
        return self._parts.parts(words, f"{path}.content") if self._is_cached(words) else spoken(words)

    def _own_content(self, said: list[Part], path: str, *, plain: bool) -> Any:
        if plain and isinstance(said[0], TextPart):
            return said[0].text
        return [
            wire.own(part.extra)[PART] if isinstance(part, ReasoningPart) else written
            for part, written in zip(said, self._content_of(said, path), strict=True)
        ]

    def _content_of(self, said: list[Part], path: str) -> list[Any]:
        written: list[Any] = []
        for part in said:
            written += [None] if isinstance(part, ReasoningPart) else self._parts.parts((part,), f"{path}.content")
        return written

    def _is_cached(self, parts: Iterable[Part]) -> bool:
        return self._quirks.cache_control and any(getattr(part, "cache", None) is not None for part in parts)

    def _add_calls(self, message: Message, written: Wire) -> None:
        calls: list[Wire] = []
        for part in message.parts:
            if not isinstance(part, ToolCallPart):
                continue
            if part.kind == "server":
                self._parts.dropped.append("messages.server_tool_use")
            elif LEGACY in wire.own(part.extra):
                fields = wire.own_fields(part.extra)
                written["function_call"] = {"name": part.name, "arguments": part.arguments, **fields}
            else:
                calls.append(self._call(part))
                self._homes[part.id] = written
                self._names[part.id] = part.name
        if calls:
            written["tool_calls"] = calls

    def _call(self, part: ToolCallPart) -> Wire:
        fields = wire.own_fields(part.extra)
        name = part.name if self._own else tool_name(part.name, self._quirks.tool_names)
        if part.kind == "custom" and self._quirks.custom_tools:
            kind, inner = "custom", {"name": name, "input": part.arguments, **fields.pop("custom", {})}
        else:
            arguments = custom_arguments(part.arguments) if part.kind == "custom" else part.arguments
            if not self._own:
                arguments = arguments or "{}"
            kind, inner = "function", {"name": name, "arguments": arguments, **fields.pop("function", {})}
        call: Wire = {"id": self._ids(part.id), "type": kind, kind: inner, **fields}
        if UNTYPED in wire.own(part.extra):
            del call["type"]
        if part.signature is not None and part.signature.origin == wire.NAME and not self._own:
            call |= _signed(part.signature.value)
        return call

    def _echo(self, thoughts: list[ReasoningPart], written: Wire) -> None:
        """Past thinking in the field from which this provider's models think on."""
        field = self._quirks.reasoning_history
        if field == "none" or not self._thinks:
            return
        text = BETWEEN.join(part.text for part in thoughts if part.text)
        details = reasoning.details_for_upstream(thoughts) if field == "reasoning_details" else []
        if details:
            written["reasoning_details"] = details
        elif text:
            written["reasoning" if field == "reasoning_details" else field] = text
        elif self._quirks.missing_reasoning is not None and ("tool_calls" in written or written["content"]):
            written[field] = self._quirks.missing_reasoning

    def _extend(self, message: Wire, content: Any) -> None:
        if isinstance(message["content"], str) and isinstance(content, str):
            message["content"] = BETWEEN.join(filter(None, (message["content"], content)))
        else:
            message["content"] = [*_as_parts(message["content"]), *_as_parts(content)]

    def _join_users(self) -> None:
        joined: list[Wire] = []
        for message in self.messages:
            if joined and message["role"] == "user" == joined[-1]["role"]:
                self._extend(joined[-1], message["content"])
            else:
                joined.append(message)
        self.messages = joined

    def _part_from_tools(self) -> None:
        parted: list[Wire] = []
        for message in self.messages:
            if parted and message["role"] == "user" and parted[-1]["role"] == "tool":
                parted.append({"role": "assistant", "content": _HEARD})
            parted.append(message)
        self.messages = parted


def _is_field(part: Part) -> bool:
    return REFUSED in wire.own(getattr(part, "extra", None))


def _as_parts(content: Any) -> list[Any]:
    if not isinstance(content, str):
        return list(content)
    return [{"type": "text", "text": content}] if content else []


def _signed(value: str) -> Wire:
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return {}
