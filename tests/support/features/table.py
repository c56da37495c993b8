"""What becomes of each thing that a client may send, per upstream: the tables of ``docs/dialects.md`` held against what
the gateway does.

A sample is a request that has the thing and the same request without it; a cell of the document's table says what
translating the first makes different from the second:

* ``dropped``: nothing, and the request's ``dropped`` names it;
* ``-``: nothing, and nobody is told;
* ``refused``: there is no request, and the fault names the field;
* anything else: each path in backticks differs. Where the cell says ``reported``, ``dropped`` has a name more.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from millstream.core.errors import ClientFault
from millstream.dialects.base import ClientCall, Target, UpstreamRequest
from millstream.registry import dialects

DIALECTS = dialects()
NAMES = {
    "anthropic": "Anthropic Messages",
    "openai_chat": "OpenAI Chat Completions",
    "openai_responses": "OpenAI Responses",
    "gemini": "Gemini",
}
MODELS = {
    "anthropic": "claude-sonnet-5",
    "openai_chat": "gpt-5",
    "openai_responses": "gpt-5",
    "gemini": "gemini-3-flash",
}
_ALL: dict[str, dict[str, Any]] = {"openai_chat": {"custom_tools": True}}
"""What only some upstreams of an API can do, and the document is of those that can."""

_HI: dict[str, dict[str, Any]] = {
    "anthropic": {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]},
    "openai_chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses": {"model": "m", "input": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}
_PATH = re.compile(r"`([^`]+)`")


Sample = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Fields of a request that has something, and those of the same request without it."""

Samples = Mapping[str, Mapping[str, Sample]]
"""Title of a group → what a client says, as the document names it → its sample."""


def alone(**fields: Any) -> dict[str, Sample]:
    """Each of ``fields`` by itself."""
    return {f"`{name}`": ({name: value}, {}) for name, value in fields.items()}


def upstreams(client: str) -> list[str]:
    """The dialects that are not ``client``, in the order of the columns."""
    return [name for name in NAMES if name != client]


def body_of(client: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The shortest request that has ``fields``."""
    return {**_HI[client], **fields}


def translated(client: str, fields: Mapping[str, Any], upstream: str) -> UpstreamRequest:
    """Raises ``ClientFault`` for what is refused."""
    body = body_of(client, fields)
    call = ClientCall(json.dumps(body).encode())
    if client == "gemini":
        call = ClientCall(json.dumps(body).encode(), model="m", stream=False, params={})
    request = DIALECTS[client].parse_request(call)
    target = Target(MODELS[upstream], DIALECTS[upstream].quirks(**_ALL.get(upstream, {})), stream=request.stream)
    return DIALECTS[upstream].render_request(request, target)


def check(client: str, sample: Sample, upstream: str, cell: str) -> None:
    """Raises ``AssertionError`` where ``cell`` is not what happens."""
    having, lacking = sample
    if cell.startswith("refused"):
        _check_refused(client, having, upstream)
        return
    told, plain = translated(client, having, upstream), translated(client, lacking, upstream)
    changed = differences(json.loads(plain.body), json.loads(told.body))
    reported = set(told.dropped) - set(plain.dropped)
    assert bool(reported) == ("dropped" in cell or "reported" in cell), f"newly reported: {reported or 'nothing'}"
    if cell.startswith(("dropped", "-")):
        assert not changed, f"it changes {sorted(changed)}"
    else:
        paths = set(_PATH.findall(cell))
        assert paths, f"{cell!r} names no path"
        assert paths <= changed, f"{cell!r}, but it changes {sorted(changed)}"


def _check_refused(client: str, fields: Mapping[str, Any], upstream: str) -> None:
    try:
        told = translated(client, fields, upstream)
    except ClientFault as fault:
        field = fault.param
    else:
        raise AssertionError(f"it is not refused: {told.body.decode()}")
    assert field, "the refusal names no field"


def differences(before: Any, after: Any) -> set[str]:
    """Paths of the leaves that only one of two requests has, and of what they are in; a list's members are ``[]``."""
    old, new = Counter(_leaves(before)), Counter(_leaves(after))
    changed = {path for path, _ in [*(old - new), *(new - old)]}
    for path in list(changed):
        while path:
            changed.add(path)
            path = re.sub(r"(\[\]|\.?[^.\[\]]+)$", "", path)
    return changed


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _leaves(inner, f"{path}[]")
    else:
        yield path, json.dumps(value)
