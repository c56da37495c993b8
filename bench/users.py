"""Users who talk: many at once, each in conversations of their own, through one gateway to a model that is scripted.
``python bench/users.py --users 200 --minutes 5 [--redis redis://localhost:6379/0]``.

Every answer's words are counted, and its first one carries the moment when the model said it: what the gateway adds to
that is the overhead. Prints a table, and exits with 1 where an event was lost or something failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = 40
_WORD_S = 0.02
_FIRST_S = 0.1
_ASIDE_S = 0.3
_TURNS = 8
_SAMPLES = 10
_CONFIG = """\
default_model = "up/m"
[providers.up]
dialect = "openai_chat"
base_url = "{upstream}/v1"
default_model = "m"
[sessions]
{sessions}
[conversation]
history_tokens = 1000
intent = {intent}
[log]
format = "json"
"""


@dataclass
class Seen:
    """What users saw. Times are in milliseconds."""

    first: list[float] = field(default_factory=list)
    """Of an answer's first chunk, after the model said it."""
    every: list[float] = field(default_factory=list)
    """Of every chunk."""
    status: list[float] = field(default_factory=list)
    """Of the status, after the request was sent."""
    contexts: int = 0
    suggestions: int = 0
    answers: int = 0
    lost: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)
    cpu: float = 0.0
    """Seconds of the gateway's."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between a user's messages, on average")
    parser.add_argument("--redis", help="keep conversations there, instead of in SQLite")
    parser.add_argument("--no-intent", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_talk(Path(name), args))


async def _talk(folder: Path, args: argparse.Namespace) -> int:
    upstream = await asyncio.start_server(_model, "127.0.0.1", 0, backlog=1024)
    address = "http://{}:{}".format(*upstream.sockets[0].getsockname()[:2])
    kept = f'store = "redis"\nredis_url = "{args.redis}"' if args.redis else f'path = "{folder}/sessions.db"'
    config = folder / "millstream.toml"
    config.write_text(_CONFIG.format(upstream=address, sessions=kept, intent=str(not args.no_intent).lower()))
    command = [sys.executable, "-m", "millstream", "serve", "--config", str(config), "--port", "0"]
    with (folder / "log").open("wb") as log:
        gateway = await asyncio.create_subprocess_exec(
            *command, "--address-only", "--until-eof", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
    seen = Seen()
    try:
        assert gateway.stdout is not None
        port = int((await gateway.stdout.readline()).decode().strip().rpartition(":")[2])
        end = time.monotonic() + args.minutes * 60
        async with asyncio.TaskGroup() as group:
            group.create_task(_watch(gateway.pid, seen, args.minutes * 60))
            for number in range(args.users):
                group.create_task(_user(port, f"user{number}", end, args.pause, seen))
    finally:
        if gateway.returncode is None:
            gateway.terminate()
        await gateway.wait()
        upstream.close()
    return _report(seen, args)


async def _watch(pid: int, seen: Seen, seconds: float) -> None:
    for _ in range(_SAMPLES):
        await asyncio.sleep(seconds / _SAMPLES)
        seen.memory.append(_memory(pid))
    seen.cpu = sum(map(int, _stat(pid))) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """Resident, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) / 1024


def _stat(pid: int) -> list[str]:
    """Time in user and in kernel mode, in ticks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]


async def _user(port: int, name: str, end: float, pause: float, seen: Seen) -> None:
    chance = random.Random(name)
    session_id: str | None = None
    turns = 0
    await asyncio.sleep(chance.uniform(0, pause))
    while time.monotonic() < end:
        try:
            session_id = await _say(port, name, f"What about {turns}?", session_id, seen)
            turns += 1
            if turns == _TURNS:
                await _check(port, name, session_id, seen)
                session_id, turns = None, 0
        except (OSError, ValueError, KeyError, asyncio.IncompleteReadError) as error:
            seen.errors[f"{type(error).__name__}: {error}"[:100]] += 1
            session_id, turns = None, 0
        await asyncio.sleep(chance.expovariate(1 / pause))


async def _say(port: int, name: str, message: str, session_id: str | None, seen: Seen) -> str:
    body = {"message": message} | ({"session_id": session_id} if session_id else {})
    words: list[str] = []
    sent = time.monotonic()
    async for event, at in _events(port, f"/api/conversation-stream/{name}", body):
        match event["type"]:
            case "chunk":
                moment, _, word = event["content"].partition("|")
                late = (at - int(moment) / 1e9) * 1000
                if not words:
                    seen.first.append(late)
                seen.every.append(late)
                words.append(word)
            case "status":
                seen.status.append((at - sent) * 1000)
            case "context":
                seen.contexts += 1
            case "complete":
                seen.answers += 1
                seen.suggestions += len(event["suggestions"]) == 3
                seen.lost += words != [f"w{number} " for number in range(WORDS)]
                return str(event["session_id"])
            case "error":
                raise ValueError(f"{event['code']}: {event['message']}")
    raise ValueError("a stream ended without an end")


async def _check(port: int, name: str, session_id: str, seen: Seen) -> None:
    """Everything that was said is kept."""
    data = await _get(port, f"/api/conversation/{name}/sessions/{session_id}")
    answers = [said for said in json.loads(data)["messages"] if said["role"] == "assistant"]
    whole = [said for said in answers if said["state"] == "complete" and said["content"].count("|w") == WORDS]
    seen.lost += _TURNS - len(whole)


async def _events(port: int, path: str, body: dict[str, Any]) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        data = json.dumps(body).encode()
        writer.write(_head("POST", path, port, len(data)) + data)
        if not (status := await reader.readline()).startswith(b"HTTP/1.1 200"):
            raise ValueError(f"status {status.decode().strip()}")
        while True:
            line = await reader.readline()
            if line.startswith(b"data: "):
                at = time.monotonic()
                yield json.loads(line[6:]), at
            elif not line:
                return
    finally:
        writer.close()


async def _get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_head("GET", path, port, 0))
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return await reader.readexactly(size)
    finally:
        writer.close()


def _head(method: str, path: str, port: int, size: int) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {size}\r\n\r\n".encode()


async def _model(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A model of the Chat API: JSON where that is asked for, else numbered words with their moments."""
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(size)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            if b"json_schema" in body:
                await asyncio.sleep(_ASIDE_S)
                said = {"intent": "ask", "entities": [], "suggestions": ["One", "Two", "Three"]}
                writer.write(_chunk(json.dumps(said)))
            else:
                await asyncio.sleep(_FIRST_S)
                for number in range(WORDS):
                    writer.write(_chunk(f"{time.monotonic_ns()}|w{number} "))
                    await asyncio.sleep(_WORD_S)
            ending = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            writer.write(_framed(json.dumps(ending)) + _framed("[DONE]") + b"0\r\n\r\n")
    writer.close()


def _chunk(text: str) -> bytes:
    return _framed(json.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]}))


def _framed(data: str) -> bytes:
    frame = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(frame), frame)


def _at(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] if values else float("nan")


def _report(seen: Seen, args: argparse.Namespace) -> int:
    print(f"{args.users} users, {args.minutes * 60:g} s, {'Redis' if args.redis else 'SQLite'}")
    print(f"answers {seen.answers}, contexts {seen.contexts}, with suggestions {seen.suggestions}")
    print(f"lost {seen.lost}, errors {seen.errors.total()} {dict(seen.errors) if seen.errors else ''}")
    for name, values in (("first chunk", seen.first), ("every chunk", seen.every), ("status", seen.status)):
        print(f"{name}: p50 {_at(values, 0.5):.2f} ms, p99 {_at(values, 0.99):.2f} ms, most {_at(values, 1):.2f} ms")
    share, each = seen.cpu / args.minutes / 60, seen.cpu * 1000 / max(seen.answers, 1)
    print(f"CPU of the gateway: {share:.0%} of a core, {each:.1f} ms an answer")
    print(f"memory MB: {' '.join(f'{megabytes:.0f}' for megabytes in seen.memory)}")
    return 1 if seen.lost or seen.errors or not seen.answers else 0


if __name__ == "__main__":
    sys.exit(main())
