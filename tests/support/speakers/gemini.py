"""Google's Gemini API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from raw_upstream import Call

from speakers.base import (
    CACHED,
    INPUT,
    OUTPUT,
    Asked,
    Block,
    Said,
    Speaker,
    Thought,
    Told,
    as_json,
    frame,
)


class Gemini(Speaker):
    """Its calls are signed, not its thoughts."""

    name = "gemini"
    signs = True
    marks_failures = True
    _USAGE: Mapping[str, int] = {
        "promptTokenCount": INPUT,
        "cachedContentTokenCount": CACHED,
        "candidatesTokenCount": OUTPUT,
        "totalTokenCount": INPUT + OUTPUT,
    }
    _STATUS: Mapping[int, str] = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
    }

    def asked_to_stream(self, call: Call) -> bool:
        return ":streamGenerateContent" in call.path

    def counted(self, tokens: int) -> bytes:
        return as_json({"totalTokens": tokens})

    def begun(self, *blocks: Block) -> list[bytes]:
        signature = next((one.signature for one in blocks if isinstance(one, Thought)), None)
        pieces: list[bytes] = []
        for block in blocks:
            pieces += [frame(self._answer([part])) for part in self._parts(block, signature)]
            signature = None if isinstance(block, Asked) else signature
        return pieces

    def ended(self, *blocks: Block) -> list[bytes]:
        return [frame(self._answer([{"text": ""}], "STOP"))]

    def whole(self, blocks: Iterable[Block]) -> dict[str, Any]:
        blocks = tuple(blocks)
        signature = next((one.signature for one in blocks if isinstance(one, Thought)), None)
        parts: list[dict[str, Any]] = []
        for block in blocks:
            parts += self._parts(Said((block.text,)) if isinstance(block, Said) else block, signature)
            signature = None if isinstance(block, Asked) else signature
        return self._answer(parts, "STOP")

    def refusal(self, status: int, kind: str, message: str) -> dict[str, Any]:
        code = 500 if status == 529 else status
        return {"error": {"code": status, "message": message, "status": self._STATUS.get(code, "UNKNOWN")}}

    def error(self, kind: str, message: str) -> bytes:
        status = {"overloaded": 503, "rate": 429, "internal": 500}[kind]
        return frame(self.refusal(status, kind, message))

    def told(self, body: Mapping[str, Any]) -> Told:
        told = Told()
        for content in body["contents"]:
            for part in content["parts"]:
                if "functionCall" in part:
                    call = part["functionCall"]
                    told.calls.append((call["id"], call["name"], call.get("args") or {}))
                    told.signatures += [part["thoughtSignature"]] if "thoughtSignature" in part else []
                elif "functionResponse" in part:
                    answer = part["functionResponse"]
                    told.results.append((answer["id"], json.dumps(answer["response"])))
                    told.failed += [answer["id"]] if "error" in answer["response"] else []
        return told

    @staticmethod
    def _parts(block: Block, signature: str | None) -> list[dict[str, Any]]:
        match block:
            case Thought():
                return [{"text": block.text, "thought": True}]
            case Said():
                return [{"text": piece} for piece in block.pieces]
            case Asked():
                signed = {"thoughtSignature": signature} if signature else {}
                return [{"functionCall": {"id": block.id, "name": block.name, "args": block.arguments}, **signed}]

    def _answer(self, parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        return {"candidates": [candidate], "usageMetadata": self._USAGE, "modelVersion": "m", "responseId": "r1"}
