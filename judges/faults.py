"""``llmock``: an upstream that fails in every way it knows, and says whether the gateway took each failure well.

The client here does what any application does: it asks once more if it is told that its answer failed, and waits as
long as it is told to. So a stream that the gateway passes on as complete though it was cut is never asked for again,
and the judge, who sees only what reaches the upstream, finds it.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judges.program import NotRunning, call
from judges.verdict import Verdict

_TEXT = " ".join(["The mill turns, the water runs, and every word arrives in its order."] * 3)
_STALL_S = 30.0
_AT_ONCE = 20
_BACKOFF_S = 0.25  # an application waits a little; and the judge takes what overlaps for two questions

_SETTINGS = "[upstream]\nretries = 3\nbackoff = 0.25\nmax_retry_wait = 1.5\nhead_timeout = 5\nidle_timeout = 5\n"
"""``max_retry_wait`` lies between the two waits asked for; the timeouts are beyond what a busy machine needs."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A provider as ``llmock`` plays it."""

    dialect: str
    base: str
    paths: str
    """What the paths begin with that only this dialect has."""
    client: str
    """The dialect our side speaks to the gateway: another one."""


UPSTREAMS = (
    Upstream("openai_chat", "/v1", "/v1/chat/", "anthropic"),
    Upstream("anthropic", "/anthropic", "/anthropic/", "openai_chat"),
    Upstream("openai_responses", "/v1", "/v1/responses", "anthropic"),
    Upstream("gemini", "/gemini", "/gemini/", "openai_chat"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """``asks`` is how often the client must ask until it has its answer: 1 if the gateway mends the fault itself, 2 if
    the client is told. ``refused`` is the status that it gets where there is no answer to be had."""

    name: str
    fault: dict[str, Any] | None
    asks: int = 1
    refused: int | None = None
    stream: bool = True


CASES = (
    Case("slow-head", {"type": "delay", "seconds": 7}),
    Case("stall", {"type": "stream_fault", "kind": "stall", "after_chunks": 6, "stall_seconds": _STALL_S}, asks=2),
    Case("429-long-wait", {"type": "fail", "status": 429, "retry_after": 2}, asks=2),
    Case("429-short-wait", {"type": "fail", "status": 429, "retry_after": 1}),
    Case("502-forever", {"type": "fail", "status": 502, "times": None}, refused=502),
    Case("500-thrice", {"type": "fail", "status": 500, "times": 3}, stream=False),
    Case("529-once", {"type": "fail", "status": 529}),
    Case("slow-first-token", {"type": "slow_first_token", "seconds": 0.5}),
    Case("drop-at-once", {"type": "stream_fault", "kind": "disconnect", "after_chunks": 0}),
    Case("drop", {"type": "stream_fault", "kind": "disconnect", "after_chunks": 6}, asks=2),
    Case("cut-at-once", {"type": "stream_fault", "kind": "truncate", "after_chunks": 0}),
    Case("cut", {"type": "stream_fault", "kind": "truncate", "after_chunks": 6}, asks=2),
    Case("garbage", {"type": "stream_fault", "kind": "malformed", "after_chunks": 6}, asks=2),
    Case("400", {"type": "fail", "status": 400}, refused=400),
    Case("401", {"type": "fail", "status": 401}, refused=401),
    Case("no-fault", None),
    Case("whole", None, stream=False),
)
"""Those that take longest first."""


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    whole: bool
    status: int
    retry_after: float = 0.0

    @property
    def worth_asking_again(self) -> bool:
        return self.status == 200 or self.status == 429


def settings(llmock: str) -> str:
    """The gateway's configuration (TOML): one provider for each of ``UPSTREAMS``."""
    tables = [
        f'[providers.{u.dialect}-up]\ndialect = "{u.dialect}"\nbase_url = "{llmock}{u.base}"\n' for u in UPSTREAMS
    ]
    return "\n".join([_SETTINGS, *tables])


def judge(program: Path, llmock: str, gateway: str) -> Iterator[Verdict]:
    """All ``CASES`` in all dialects, then what ``llmock report`` finds in them."""
    work = [(upstream, case) for case in CASES for upstream in UPSTREAMS]
    status, _, body = call(f"{llmock}/_llmock/scenario", {"behaviors": [b for u, c in work for b in _behaviors(u, c)]})
    if status != 201:
        raise NotRunning(f"llmock refuses the scenario: {body.decode(errors='replace')}")
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        said = list(threads.map(lambda item: _trouble(item[0], item[1], gateway), work))
    report = _report(program, llmock)
    scripted = sum(case.fault is not None for _, case in work)
    lost = [f"llmock tells of {report['faults_injected']} faults only, of {scripted} scripted"]
    for upstream in UPSTREAMS:
        troubles = [trouble for (u, _), trouble in zip(work, said, strict=True) if u is upstream and trouble]
        findings = [found for found in report["findings"] if upstream.paths in found["path"]]
        errors = sum(found["severity"] == "error" for found in findings)
        problems = troubles + [f"{found['code']} {found['path']}: {found['title']}" for found in findings]
        yield Verdict(
            "llmock",
            upstream.client,
            upstream.dialect,
            passed=len(CASES) - len(troubles),
            failed=len(troubles) + errors,
            warned=len(findings) - errors,
            problems=tuple(problems + (lost if report["faults_injected"] < scripted else [])),
        )


def _behaviors(upstream: Upstream, case: Case) -> list[dict[str, Any]]:
    match = {"match": {"model": f"{upstream.dialect}-{case.name}"}}
    reply = {"type": "reply", "text": _TEXT, "times": None, **match}
    return [reply, {**case.fault, **match}] if case.fault is not None else [reply]


def _report(program: Path, llmock: str) -> dict[str, Any]:
    done = subprocess.run([program, "report", "--url", llmock, "--json"], capture_output=True, text=True, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _trouble(upstream: Upstream, case: Case, gateway: str) -> str | None:
    """Ask as an application does; what went otherwise than the case says."""
    said = _ask(upstream, case, gateway)
    return f"{case.name}: {said}" if said is not None else None


def _ask(upstream: Upstream, case: Case, gateway: str) -> str | None:
    ask = _CLIENTS[upstream.client]
    model = f"{upstream.dialect}-up/{upstream.dialect}-{case.name}"
    asks = 1
    answer = ask(gateway, model, case.stream)
    if not answer.whole and answer.worth_asking_again:
        time.sleep(max(answer.retry_after, _BACKOFF_S))
        asks += 1
        answer = ask(gateway, model, case.stream)
    if not answer.whole:
        return None if answer.status == case.refused else f"no answer, status {answer.status}"
    if case.refused is not None or asks != case.asks:
        return f"an answer at ask {asks}, which should have been {case.refused or f'at {case.asks}'}"
    return None if answer.text == _TEXT else f"the answer is {answer.text!r}"


def _anthropic(gateway: str, model: str, stream: bool) -> _Answer:
    body = {"model": model, "max_tokens": 500, "stream": stream, "messages": [{"role": "user", "content": "Go on."}]}
    status, headers, data = _posted(f"{gateway}/v1/messages", body)
    if not stream and status == 200:
        return _Answer("".join(block["text"] for block in json.loads(data)["content"]), True, status)
    events = list(_events(data))
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    text = "".join(delta["text"] for delta in deltas if delta["type"] == "text_delta")
    ended = bool(events) and events[-1]["type"] == "message_stop"
    return _Answer(text, ended and status == 200, status, _retry_after(headers))


def _chat(gateway: str, model: str, stream: bool) -> _Answer:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Go on."}]}
    status, headers, data = _posted(f"{gateway}/v1/chat/completions", body)
    if not stream and status == 200:
        return _Answer(json.loads(data)["choices"][0]["message"]["content"], True, status)
    events = list(_events(data))
    choices = [choice for event in events for choice in event.get("choices", [])]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    failed = any("error" in event for event in events)
    ended = data.rstrip().endswith(b"data: [DONE]") and any(choice.get("finish_reason") for choice in choices)
    return _Answer(text, ended and not failed and status == 200, status, _retry_after(headers))


_CLIENTS = {"anthropic": _anthropic, "openai_chat": _chat}


def _posted(url: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """As ``call``; a connection that breaks is an answer that failed (status 200, no end)."""
    try:
        return call(url, body)
    except (OSError, http.client.HTTPException):
        return 200, {}, b""


def _events(stream: bytes) -> Iterator[dict[str, Any]]:
    for line in stream.splitlines():
        if line.startswith(b"data: {"):
            yield json.loads(line[len(b"data: ") :])


def _retry_after(headers: dict[str, str]) -> float:
    return float(headers.get("retry-after", 0))
