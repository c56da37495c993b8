"""Requests that real clients sent, as the gateway's dialects are given them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millstream.dialects.base import ClientCall
from millstream.dialects.openai_responses.state import continued
from millstream.dialects.openai_responses.websocket import read_message

CORPUS = Path(os.environ.get("MILLSTREAM_CORPUS") or Path(__file__).parents[2] / "../shared/corpus").resolve()

_CALL_BEFORE = {"type": "function_call", "call_id": "call_stub3", "name": "shell", "arguments": "{}"}
"""What the capture that goes on from a stored reply goes on from."""


@dataclass(frozen=True)
class Captured:
    """``name`` is ``client/file``; ``body`` what the client sent, over a WebSocket without what only belongs there."""

    name: str
    dialect: str
    call: ClientCall
    body: dict[str, Any]


def captured_requests() -> Iterator[Captured]:
    """Every captured request for a reply; none where there are no captures."""
    for path in sorted((CORPUS / "requests").glob("*/*.json")):
        written = json.loads(path.read_text())
        if isinstance(written.get("body"), dict) and "count_tokens" not in written["path"]:
            yield _captured(f"{path.parent.name}/{path.stem}", written)


def _captured(name: str, written: dict[str, Any]) -> Captured:
    headers = {field.lower(): value for field, value in written["headers"]}
    path: str = written["path"]
    body = json.dumps(written["body"]).encode()
    if "/messages" in path:
        return Captured(name, "anthropic", ClientCall(body, headers), written["body"])
    if "/chat/completions" in path:
        return Captured(name, "openai_chat", ClientCall(body, headers), written["body"])
    if "/responses" in path:
        if written["method"] == "WS":
            body = read_message(body).body
        if "previous_response_id" in json.loads(body):
            body = continued(body, [_CALL_BEFORE])
        return Captured(name, "openai_responses", ClientCall(body, headers), json.loads(body))
    model, _, method = path.partition("/models/")[2].partition(":")
    stream = method.startswith("stream")
    call = ClientCall(body, headers, model=model, stream=stream, params={"alt": "sse"} if stream else {})
    return Captured(name, "gemini", call, written["body"])
