"""A call's arguments, the model's own JSON text, as the object that ``input`` must be."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.core.messages import ToolCallPart
from millstream.dialects.anthropic.wire import UNPARSED_INPUT
from millstream.dialects.base import custom_arguments

_Object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def input_of(call: ToolCallPart) -> msgspec.Raw | dict[str, Any]:
    """``call``'s input. Text that is no JSON object is kept whole below ``UNPARSED_INPUT``, never repaired: a guess
    might run a command that nobody wrote."""
    arguments = custom_arguments(call.arguments) if call.kind == "custom" else call.arguments
    if not arguments.strip():
        return {}
    try:
        _Object.decode(arguments)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {UNPARSED_INPUT: {"raw": arguments, "len": len(arguments.encode())}}
    return msgspec.Raw(arguments.encode())
