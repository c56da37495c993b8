"""Coding agents as one kind of thing: each is asked something through a gateway, and tells what came of it."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agent_process import run_agent
from claude_code import VERSIONS, installed
from node_readers import node

_PACKAGES = Path(__file__).parents[1] / "e2e" / "node_modules"
_OLDEST_NODE = 20
_NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: nothing gets to the internet."""

Call = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class Outcome:
    """``answer`` is what it said after its last tool, ``results`` what its tools gave."""

    status: int
    answer: str
    results: list[str]
    complaints: str
    """What it said of errors on its way."""


class Agent(ABC):
    """``home`` and ``folder`` (where it works) are the test's own."""

    name: str
    dialect: str
    model: str
    """What it asks the gateway for."""

    opening: str
    """Stands in its system prompt."""

    shows_what_broke_off: bool = False
    """It prints the beginning of an answer again when it asks anew."""

    def __init__(self, scratch: Path) -> None:
        self.home, self.folder = scratch / "home", scratch / "work"

    @abstractmethod
    def shell(self, command: str) -> Call:
        """Name and arguments of its tool that runs ``command``."""

    @abstractmethod
    def read(self, file: Path) -> Call:
        """Name and arguments of what it reads ``file`` with."""

    @abstractmethod
    async def ask(self, url: str, prompt: str, *arguments: str) -> Outcome: ...

    def _folders(self) -> None:
        self.home.mkdir()
        self.folder.mkdir()


class Codex(Agent):
    name = "codex"
    dialect = "openai_responses"
    model = "gpt-5.5"
    opening = "You are Codex"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        found = sorted(_PACKAGES.glob("@openai/codex-*/vendor/*/bin/codex"))
        if not found:
            pytest.skip("needs Codex CLI: make test installs it with npm")
        self._program = found[0]
        self._folders()

    def shell(self, command: str) -> Call:
        return "exec_command", {"cmd": command}

    def read(self, file: Path) -> Call:
        return self.shell(f"cat {file}")

    async def ask(self, url: str, prompt: str, *arguments: str) -> Outcome:
        told = [f"--config={name}={value}" for name, value in self._settings(url).items()]
        mode = ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--model", self.model]
        environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "GATEWAY_KEY": "any"}
        environment |= {"HTTPS_PROXY": _NOWHERE, "NO_PROXY": "127.0.0.1"}
        command = [str(self._program), "exec", *mode, *told, *arguments, prompt]
        ended = await run_agent(command, environment, self.folder)
        lines = [json.loads(line) for line in ended.lines]
        done = [line["item"] for line in lines if line["type"] == "item.completed"]
        ran = [item["aggregated_output"] for item in done if item["type"] == "command_execution"]
        last = max((at for at, item in enumerate(done) if item["type"] == "command_execution"), default=-1)
        answer = "".join(item["text"] for item in done[last + 1 :] if item["type"] == "agent_message")
        failed = [line for line in lines if line["type"] in ("error", "turn.failed")]
        return Outcome(ended.status, answer, ran, json.dumps(failed) if failed else "")

    @staticmethod
    def _settings(url: str) -> dict[str, str]:
        provider = "model_providers.gateway"
        return {
            "model_provider": '"gateway"',
            f"{provider}.name": '"gateway"',
            f"{provider}.base_url": f'"{url}/v1"',
            f"{provider}.env_key": '"GATEWAY_KEY"',
            f"{provider}.wire_api": '"responses"',
            "check_for_update_on_startup": "false",
            "analytics.enabled": "false",
        }


class GeminiCLI(Agent):
    name = "gemini-cli"
    dialect = "gemini"
    model = "gemini-3.8-flash"
    opening = "You are Gemini CLI"
    shows_what_broke_off = True

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._script, program = _PACKAGES / "@google/gemini-cli/bundle/gemini.js", node(_OLDEST_NODE)
        if program is None or not self._script.is_file():
            pytest.skip(f"needs Gemini CLI and node {_OLDEST_NODE} or newer: make test installs both with npm")
        self._node = Path(program)
        self._folders()
        (self.home / ".gemini").mkdir()
        (self.home / ".gemini/settings.json").write_text(json.dumps(self._SETTINGS))

    def shell(self, command: str) -> Call:
        return "run_shell_command", {"command": command, "description": "Do it"}

    def read(self, file: Path) -> Call:
        return "read_file", {"file_path": str(file)}

    async def ask(self, url: str, prompt: str, *arguments: str) -> Outcome:
        mode = ["--prompt", prompt, "--output-format", "stream-json", "--skip-trust", "--yolo"]
        command = [str(self._node), str(self._script), *mode, "--model", self.model, *arguments]
        environment = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([str(self._node.parent), "/usr/bin", "/bin"]),
            "GOOGLE_GEMINI_BASE_URL": url,
            "GEMINI_API_KEY": "any",
            "GEMINI_CLI_NO_RELAUNCH": "true",
        }
        ended = await run_agent(command, environment, self.folder)
        lines = [json.loads(line) for line in ended.lines if line.startswith("{")]
        results = [line.get("output", "") for line in lines if line["type"] == "tool_result"]
        last = max((at for at, line in enumerate(lines) if line["type"] == "tool_result"), default=-1)
        said = [line for line in lines[last + 1 :] if line["type"] == "message" and line["role"] == "assistant"]
        failed = [line for line in lines if line.get("status") == "error" or line["type"] == "error"]
        complaints = ended.errors + (json.dumps(failed) if failed else "")
        return Outcome(ended.status, "".join(line["content"] for line in said), results, complaints)

    _SETTINGS: Mapping[str, Any] = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"maxAttempts": 2, "enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        "privacy": {"usageStatisticsEnabled": False},
    }


class Claude(Agent):
    """Its new version; ``claude_code`` has more to ask of it."""

    name = "claude-code"
    dialect = "anthropic"
    model = "claude-sonnet-5"
    opening = "You are a Claude agent"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._agent = installed(VERSIONS[0], scratch)

    def shell(self, command: str) -> Call:
        return "Bash", {"command": command, "description": "Do it"}

    def read(self, file: Path) -> Call:
        return "Read", {"file_path": str(file)}

    async def ask(self, url: str, prompt: str, *arguments: str) -> Outcome:
        ran = await self._agent.ask(url, prompt, "--model", self.model, *arguments)
        retried = [line for line in ran.lines if line.get("subtype") == "api_retry"]
        return Outcome(ran.status, ran.result["result"], ran.tool_results, json.dumps(retried) if retried else "")


def opencode() -> Path:
    """The program of opencode, whose package for this kind of machine alone is half the size of all it comes with."""
    found = next(_PACKAGES.glob("opencode-*/bin/opencode"), None)
    return found or pytest.skip("needs opencode: make test installs it with npm, on Linux on x86-64")


def system_of(dialect: str, body: Mapping[str, Any]) -> str:
    """What a request says in the name of the system, wherever its dialect has that."""
    match dialect:
        case "anthropic":
            return _texts(body["system"])
        case "openai_chat":
            return _texts(_said_by(body["messages"], "system", "developer"))
        case "openai_responses":
            return str(body.get("instructions", "")) + _texts(_said_by(body["input"], "system", "developer"))
        case _:
            return _texts(body["systemInstruction"]["parts"])


def _said_by(messages: Iterable[Mapping[str, Any]], *roles: str) -> list[Any]:
    return [message["content"] for message in messages if message.get("role") in roles]


def _texts(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_texts(part) for part in content)
    return str(content.get("text", ""))
