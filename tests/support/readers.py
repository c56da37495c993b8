"""Everyone who reads in the matrix: the official SDKs of both languages, under one way of asking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anthropic
import node_readers
import openai
import sdk_readers
from google.genai import errors as google_errors
from node_readers import NodeReaders, Split, ToldOfAnError
from seen import Seen

_OPENAI_STOPS = frozenset({"stop", "length", "tool_calls", "content_filter"})
_STOPS = {
    "anthropic": frozenset({"stop", "length", "tool_calls", "stop_sequence", "refusal", "pause", "context_window"}),
    "openai_chat": _OPENAI_STOPS,
    "openai_responses": _OPENAI_STOPS,
    "gemini": _OPENAI_STOPS,
}
_PYTHON_NAMES = {
    "anthropic": "anthropic (python)",
    "openai_chat": "openai chat (python)",
    "openai_responses": "openai responses (python)",
    "gemini": "google-genai (python)",
}
_PYTHON_ERRORS = (anthropic.AnthropicError, openai.OpenAIError, google_errors.APIError, sdk_readers.AnswerFailedError)

Read = Callable[[bytes, Split, Sequence[str]], Seen]


@dataclass(frozen=True)
class Reader:
    """``client`` is the dialect it reads, ``stops`` the canonical reasons it has words for.

    ``read`` takes a reply's bytes, how they are parted, and the names of the tools that the client declared. It raises
    ``ToldOfAnError`` where the SDK's user would see an error.
    """

    name: str
    client: str
    stops: frozenset[str]
    read: Read


def python_readers() -> list[Reader]:
    return [
        Reader(_PYTHON_NAMES[client], client, _STOPS[client], _of_python(read))
        for client, read in sdk_readers.READERS.items()
    ]


def node_readers_of(process: NodeReaders) -> list[Reader]:
    return [_of_node(process, name, client) for name, client in node_readers.READERS.items()]


def _of_node(process: NodeReaders, name: str, client: str) -> Reader:
    # The AI SDK has one set of words for all providers.
    stops = _OPENAI_STOPS if name.startswith("@ai-sdk/") else _STOPS[client]

    def read(body: bytes, split: Split, tools: Sequence[str]) -> Seen:
        return process.read(name, body, split, tools)

    return Reader(name, client, stops, read)


def _of_python(read: Callable[[Sequence[bytes]], Seen]) -> Read:
    def reading(body: bytes, split: Split, tools: Sequence[str]) -> Seen:
        try:
            return read(parted(body, split))
        except _PYTHON_ERRORS as error:
            raise ToldOfAnError(f"{type(error).__name__}: {error}") from error

    return reading


def parted(body: bytes, split: Split) -> list[bytes]:
    if split == "whole":
        return [body]
    cuts = range(1, len(body)) if split == "bytewise" else [int(cut) for cut in split]
    return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
