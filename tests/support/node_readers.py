"""The official TypeScript SDKs as readers: one node process (tests/matrix/readers) that is given bytes and says what
an SDK made of them.
"""

from __future__ import annotations

import base64
import functools
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from seen import Seen

Split = Literal["whole", "bytewise"] | Sequence[int]
"""How a body is parted on its way: the numbers are the offsets where a new piece begins."""

HERE = Path(__file__).resolve().parents[1] / "matrix"
MODULES = HERE / "node_modules"
OLDEST_NODE = 22
"""What the SDKs say they need."""

READERS = {
    "@anthropic-ai/sdk": "anthropic",
    "@ai-sdk/anthropic": "anthropic",
    "openai chat": "openai_chat",
    "@ai-sdk/openai chat": "openai_chat",
    "@ai-sdk/openai-compatible": "openai_chat",
    "openai responses": "openai_responses",
    "@ai-sdk/openai responses": "openai_responses",
    "@google/genai": "gemini",
    "@ai-sdk/google": "gemini",
}
"""Each reader and the client dialect it reads."""


class ToldOfAnError(Exception):
    """The SDK did what its user sees as an error."""


class Broken(AssertionError):
    """The SDK, or our reader, fell over: neither an answer nor an error of the SDK's."""


@functools.cache
def node(oldest: int = OLDEST_NODE) -> str | None:
    """A node of that version or newer: the one installed beside the SDKs, else that of this machine."""
    for found in (*map(str, sorted(MODULES.glob("node-*/bin/node"))), shutil.which("node")):
        if found is not None and _version(found) >= oldest:
            return found
    return None


def _version(program: str) -> int:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    return int(said.removeprefix("v").partition(".")[0])


def missing() -> str | None:
    """What has to be installed before the readers can run, if anything."""
    if not (MODULES / ".package-lock.json").is_file():
        return "the TypeScript SDKs are not installed: make test installs them where npm is"
    return None if node() else f"no node {OLDEST_NODE} or newer for the TypeScript SDKs"


class NodeReaders:
    """The process. ``read`` raises ``ToldOfAnError`` where the SDK did, ``Broken`` where there was no answer at all."""

    def __init__(self) -> None:
        program = node()
        assert program is not None, "ask missing() first"
        self._process = subprocess.Popen(
            [program, str(HERE / "readers" / "main.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        self._process.communicate()

    def read(self, reader: str, body: bytes, split: Split = "whole", tools: Sequence[str] = ()) -> Seen:
        question = {"reader": reader, "body": base64.b64encode(body).decode(), "split": split, "tools": list(tools)}
        answer = self._ask(question)
        if "error" in answer:
            raise ToldOfAnError(answer["error"])
        if "broken" in answer:
            raise Broken(answer["broken"])
        seen = answer["seen"]
        return Seen(**{**seen, "calls": [tuple(call) for call in seen["calls"]]})

    def _ask(self, question: object) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise Broken(f"an SDK ended the process with {process.wait()}: what it threw is above")
        answer: dict[str, Any] = json.loads(line)
        return answer
