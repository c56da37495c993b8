"""Where llama.cpp departs from OpenAI Chat: what it is told besides the request, and its errors in our words."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from millstream.core.errors import ClientFault, Kind, UpstreamFault, kind_of_status

_CALL_START = "<tool_call>\n"
"""How a call begins in the default model's format (``smollm2.jinja``). A reply that must be a call is begun with it:
otherwise the model talks first, and with it the grammar of calls holds from the first token."""

_NEXT_CALL = "\n<tool_call>"

_ROLE_ALONE = b'"delta":{"role":"assistant","content":null}}]'
_FIRST_CHOICE = b'"index":0'
_PROGRESS = re.compile(rb',"prompt_progress":\{"total":(\d+),"cache":\d+,"processed":(\d+)[^}]*\}')


def request_body(body: bytes, *, stream: bool, own_template: bool) -> bytes:
    """``body`` with what llama.cpp needs said otherwise. Raises ``ClientFault`` if it is no JSON object."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise ClientFault(f"the request body is not a JSON object: {error}") from error
    if stream:
        # A frame after each batch of the prompt: a client that has left is noticed by the write that fails. Without
        # it llama.cpp reads the whole prompt of a client that is gone, as long as any other slot is generating.
        fields["return_progress"] = msgspec.Raw(b"true")
    _say_tool_choice(fields, own_template=own_template)
    return msgspec.json.encode(fields)


def _say_tool_choice(fields: dict[str, msgspec.Raw], *, own_template: bool) -> None:
    """A forced tool is the only one offered, since llama.cpp takes a named ``tool_choice`` for ``auto``; and where one
    call is wanted, generation stops before a second, which its grammar allows."""
    tools: Any = _value(fields, "tools")
    messages: Any = _value(fields, "messages")
    if not isinstance(tools, list) or not isinstance(messages, list) or not tools:
        return
    choice: Any = _value(fields, "tool_choice")
    if isinstance(choice, dict):
        name = choice.get("function", {}).get("name")
        fields["tools"] = _raw([tool for tool in tools if tool.get("function", {}).get("name") == name])
        choice = "required"
        fields["tool_choice"] = _raw(choice)
    if not own_template:
        return
    parallel = _value(fields, "parallel_tool_calls")
    if choice == "required" and messages and messages[-1].get("role") != "assistant":
        fields["messages"] = _raw([*messages, {"role": "assistant", "content": _CALL_START}])
    if parallel is False or (parallel is None and choice == "required"):
        stop: Any = _value(fields, "stop") or []
        fields["stop"] = _raw([*([stop] if isinstance(stop, str) else stop), _NEXT_CALL])


def _value(fields: dict[str, msgspec.Raw], name: str) -> object:
    return msgspec.json.decode(fields[name]) if name in fields else None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


class PromptFrames:
    """The frames llama.cpp sends while it reads a prompt, turned into what any client takes: the first is the reply's
    start, the others become comments. What follows passes untouched."""

    def __init__(self) -> None:
        self._reading = True
        self._started = False
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        if not self._reading:
            return data
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        out: list[bytes] = []
        for number, frame in enumerate(frames):
            progress = _PROGRESS.search(frame)
            if progress is None:
                self._reading = False
                repeated = self._started and _ROLE_ALONE in frame and _FIRST_CHOICE in frame
                out += frames[number + 1 :] if repeated else frames[number:]
                break
            if self._started:
                out.append(b": read %b of the prompt's %b tokens" % (progress[2], progress[1]))
            else:
                self._started = True
                out.append(frame[: progress.start()] + frame[progress.end() :])
        return b"".join(frame + b"\n\n" for frame in out) + (b"" if self._reading else self.finish())

    def finish(self) -> bytes:
        """What is held back at the end of the stream."""
        rest, self._rest = self._rest, b""
        return rest


class WholeReply:
    """A whole reply of llama.cpp with the fields that OpenAI's own have and it leaves out. Clients of this dialect get
    these bytes as they are, and strict ones would miss them."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        self._pieces.append(data)
        return b""

    def finish(self) -> bytes:
        """The reply; what is not one passes untouched."""
        body = b"".join(self._pieces)
        self._pieces.clear()
        try:
            reply = msgspec.json.decode(body)
            for choice in reply["choices"]:
                choice["message"] = {"refusal": None, "annotations": [], **choice["message"]}
                choice.setdefault("logprobs", None)
        except (msgspec.MsgspecError, LookupError, TypeError, AttributeError):
            return body
        return msgspec.json.encode(reply)


class _Detail(msgspec.Struct):
    message: str = ""
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class _ErrorBody(msgspec.Struct):
    error: _Detail


def fault_of(status: int, body: bytes) -> UpstreamFault:
    """A refusal of llama.cpp."""
    try:
        detail = msgspec.json.decode(body, type=_ErrorBody).error
    except msgspec.MsgspecError:
        detail = _Detail(body[:200].decode(errors="replace"))
    if detail.type == "exceed_context_size_error":
        # The beginning is Anthropic's own wording, by which agents know that they must compact.
        message = (
            f"prompt is too long: {detail.n_prompt_tokens} tokens > {detail.n_ctx} maximum "
            "(the embedded model's context)"
        )
        return UpstreamFault(message, Kind.CONTEXT_LENGTH, code="context_length_exceeded")
    if "input is not supported" in detail.message:
        what = detail.message.partition(" - hint")[0]
        return UpstreamFault(f"the embedded model reads text only: {what}", Kind.INVALID_REQUEST)
    return UpstreamFault(f"the embedded model refused: {detail.message}", kind_of_status(status), status=status)
