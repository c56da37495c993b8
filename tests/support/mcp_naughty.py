"""An MCP server that misbehaves on request, in plain JSON lines so that nothing keeps it from doing so.

Its tools are named after what they do. ``mcp_naughty.py [STATE]``: the file STATE counts its starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TOOLS = ["echo", "hang", "die", "flood", "junk", "chatter", "endless-line", "grow", "ask", "stubborn", "wrong"]


def say(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def text(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


def call(number: int, name: str, arguments: dict[str, Any], token: Any) -> None:
    if name == "hang":
        return
    if name == "stubborn":  # does not even read
        Path(os.environ["STUCK"]).touch()
        time.sleep(3600)
    if name == "die":
        sys.stderr.write("I have had enough\n")
        sys.stderr.flush()
        os._exit(7)
    if name == "flood":
        line = json.dumps(
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}
        )
        while True:
            sys.stdout.write((line + "\n") * 100)
    if name == "chatter":
        sys.stdout.write("just some words\n" * 20)
    if name == "junk":
        sys.stdout.write("just some words\n" * 100_000)
    if name == "endless-line":
        while True:
            sys.stdout.write("x" * 1_000_000)
    if name == "grow":
        TOOLS.append("grown")
        say(method="notifications/tools/list_changed")
    if name == "ask":
        schema = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
        say(id="q", method="elicitation/create", params={"message": "Which?", "requestedSchema": schema})
        answer = json.loads(sys.stdin.readline())
        say(id=number, result=text(json.dumps(answer["result"])))
        return
    if name == "wrong":
        say(id=number, result={"content": "no list"})
        return
    say(id=number, result=text(json.dumps(arguments)))


def main() -> None:
    if len(sys.argv) > 1:
        with Path(sys.argv[1]).open("a") as file:
            file.write(f"{os.getpid()}\n")
    if os.environ.get("CHILD"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        Path(os.environ["CHILD"]).write_text(str(child.pid))
    if os.environ.get("MUTE"):
        time.sleep(3600)
    for line in sys.stdin:
        message = json.loads(line)
        number, params = message.get("id"), message.get("params") or {}
        if message["method"] == "initialize":
            info = {"name": "naughty", "version": "1"}
            capabilities = {"tools": {"listChanged": True}}
            say(id=number, result={"protocolVersion": "2025-06-18", "serverInfo": info, "capabilities": capabilities})
        elif message["method"] == "tools/list":
            say(id=number, result={"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]})
        elif message["method"] == "tools/call":
            token = (params.get("_meta") or {}).get("progressToken")
            call(number, params["name"], params.get("arguments") or {}, token)
        elif message["method"] == "server/discover":
            say(id=number, error={"code": -32601, "message": "Method not found"})


if __name__ == "__main__":
    main()
