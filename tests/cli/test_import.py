"""``millstream import``: settings of three other programs, each made ours as far as it goes, the rest named."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream.cli.importing import claude_code_router, kimi, litellm
from millstream.cli.importing.reading import relaxed_json
from millstream.config import check

if TYPE_CHECKING:
    from tests.cli.conftest import Inside, Shell

SECRET = "sk-0123456789abcdefWXYZ"

ROUTER = """{
  // the usual ones
  "Providers": [
    {
      "name": "openrouter",
      "api_base_url": "https://openrouter.ai/api/v1/chat/completions",
      "api_key": "$OPENROUTER_API_KEY",
      "models": ["google/gemini-2.5-pro-preview"],
      "transformer": {"use": ["openrouter"]},
    },
    {
      "name": "deepseek",
      "api_base_url": "https://api.deepseek.com/chat/completions",
      "api_key": "sk-0123456789abcdefWXYZ",
      "models": ["deepseek-chat"],
      "transformer": {"use": ["deepseek"], "deepseek-chat": {"use": ["tooluse"]}}
    },
    {"name": "ollama", "api_base_url": "http://localhost:11434/v1/chat/completions", "api_key": "ollama", "models": []},
    {
      "name": "gemini",
      "api_base_url": "https://generativelanguage.googleapis.com/v1beta/models/",
      "api_key": "sk-xxx",
      "models": ["gemini-2.5-flash"],
      "transformer": {"use": ["gemini"]}
    },
    {
      "name": "silicon flow",
      "api_base_url": "https://api.siliconflow.cn/v1/chat/completions",
      "api_key": "sk-other",
      "models": ["moonshotai/Kimi-K2-Instruct"],
      "transformer": {"use": [["maxtoken", {"max_tokens": 16384}], "enhancetool"]}
    }
  ],
  "Router": {
    "default": "deepseek,deepseek-chat", "background": "ollama,qwen2.5-coder:latest",
    "think": "deepseek,deepseek-reasoner", "longContextThreshold": 60000 /* tokens */
  },
  "APIKEY": "let-me-in", "HOST": "127.0.0.1", "PORT": 3456, "API_TIMEOUT_MS": 600000, "LOG": true,
}
"""

LITELLM = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/MY_OPENAI, rpm: 480}
  - model_name: gpt-4o
    litellm_params: {model: azure/gpt-4o-eu, api_base: https://mine.openai.azure.com/, api_key: os.environ/AZURE}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-5, api_key: sk-0123456789abcdefWXYZ}
  - model_name: kimi
    litellm_params: {model: together_ai/moonshotai/Kimi-K2-Instruct-0905}
  - model_name: local
    litellm_params: {model: ollama_chat/qwen3, api_base: "http://10.0.0.5:11434"}
  - model_name: mine
    litellm_params: {model: openai/facebook/opt, api_base: "http://llm.example/v1", extra_headers: {x-team: a}}
  - model_name: cloud
    litellm_params: {model: azure/gpt-4o-eu, api_base: https://mine.openai.azure.com/, api_version: "2024-02-01"}
  - model_name: "groq/*"
    litellm_params: {model: "groq/*", api_key: os.environ/GROQ_API_KEY}
  - model_name: voice
    litellm_params: {model: sagemaker/voice}
litellm_settings: {drop_params: true, request_timeout: 90, num_retries: 3}
router_settings:
  routing_strategy: latency-based-routing
  model_group_alias: {gpt-4: gpt-4o, lost: nowhere}
general_settings: {master_key: os.environ/LITELLM_MASTER_KEY, database_url: "postgresql://x"}
"""

KIMI = """
default_model = "kimi-code/k3"
telemetry = true
[providers."managed:kimi-code"]
type = "kimi"
base_url = "https://api.kimi.com/coding/v1"
api_key = ""
oauth = { storage = "file", key = "oauth/kimi-code" }
[providers.moonshot]
type = "kimi"
[providers.moonshot.env]
KIMI_API_KEY = "sk-0123456789abcdefWXYZ"
[providers.google]
type = "google-genai"
api_key_env = "MY_GEMINI"
custom_headers = { x-team = "a" }
[providers.cloud]
type = "vertexai"
[models."kimi-code/k3"]
provider = "managed:kimi-code"
model = "k3"
max_context_size = 1048576
[models.fast]
provider = "moonshot"
model = "kimi-k2-turbo"
max_context_size = 262144
[models.lost]
provider = "nobody"
model = "x"
[loop_control]
max_attempts_per_step = 10
"""


def test_claude_code_router_becomes_providers_routes_and_a_server() -> None:
    found = claude_code_router.convert(relaxed_json(ROUTER))
    assert found.settings() == {
        "default_model": "deepseek/deepseek-chat",
        "server": {"host": "127.0.0.1", "port": 3456},
        "upstream": {"head_timeout": 600.0},
        "providers": {
            "ollama": {"base_url": "http://localhost:11434/v1"},
            "silicon-flow": {
                "dialect": "openai_chat",
                "base_url": "https://api.siliconflow.cn/v1",
                "quirks": {"max_output_tokens": {"*": 16384}},
                "api_key_env": "SILICON_FLOW_API_KEY",
            },
        },
        "aliases": {"claude-*haiku*": "ollama/qwen2.5-coder:latest", "claude-*": "deepseek/deepseek-chat"},
    }
    assert found.keys == {"DEEPSEEK_API_KEY": SECRET, "GEMINI_API_KEY": "sk-xxx", "SILICON_FLOW_API_KEY": "sk-other"}
    assert found.left == [
        "Providers[deepseek].transformer.deepseek-chat",
        "Providers[silicon flow].transformer.use[1]",
        "Router.think (ask for the model by name, or give it an alias)",
        "Router.longContextThreshold",
        "APIKEY (set server.api_key, or server.api_key_env)",
        "LOG",
    ]


def _yaml(text: str) -> Any:
    return pytest.importorskip("yaml").safe_load(text)


def test_litellm_becomes_aliases_of_models_at_providers() -> None:
    found = litellm.convert(_yaml(LITELLM))
    assert found.settings() == {
        "default_model": "openai/gpt-4o",
        "server": {"api_key_env": "LITELLM_MASTER_KEY"},
        "upstream": {"head_timeout": 90.0, "retries": 3},
        "providers": {
            "openai": {"api_key_env": "MY_OPENAI"},
            "ollama": {"base_url": "http://10.0.0.5:11434/v1"},
            "llm-example": {
                "headers": {"x-team": "a"},
                "dialect": "openai_chat",
                "base_url": "http://llm.example/v1",
            },
            "azure": {"values": {"endpoint": "https://mine.openai.azure.com"}},
        },
        "aliases": {
            "gpt-4o": "openai/gpt-4o",
            "claude": "anthropic/claude-sonnet-5",
            "kimi": "together/moonshotai/Kimi-K2-Instruct-0905",
            "local": "ollama/qwen3",
            "mine": "llm-example/facebook/opt",
            "cloud": "azure/gpt-4o-eu",
            "gpt-4": "gpt-4o",
        },
    }
    assert found.keys == {"ANTHROPIC_API_KEY": SECRET}
    assert found.left == [
        "model_list[gpt-4o].litellm_params.rpm",
        "model_list[gpt-4o]",
        "model_list[cloud].litellm_params.api_version",
        "model_list[voice]",
        "litellm_settings.drop_params",
        "router_settings.routing_strategy",
        "router_settings.model_group_alias.lost",
        "general_settings.database_url",
    ]


def test_kimi_code_becomes_providers_aliases_and_mcp_servers() -> None:
    mcp = {
        "mcpServers": {
            "files": {"command": "npx", "args": ["-y", "fs"], "env": {"TOKEN": SECRET}, "enabled": False, "trust": 1},
            "odd": {"command": 7},
        }
    }
    found = kimi.convert(tomllib.loads(KIMI), mcp)
    settings = found.settings()
    quirks = settings["providers"]["managed-kimi-code"].pop("quirks")
    assert quirks["reasoning_history"] == "reasoning_content"
    assert settings == {
        "default_model": "managed-kimi-code/k3",
        "providers": {
            "managed-kimi-code": {"dialect": "openai_chat", "base_url": "https://api.kimi.com/coding/v1"},
            "gemini": {"headers": {"x-team": "a"}, "api_key_env": "MY_GEMINI"},
        },
        "aliases": {"kimi-code/k3": "managed-kimi-code/k3", "fast": "moonshot/kimi-k2-turbo"},
        "mcp_servers": {"files": {"command": "npx", "args": ["-y", "fs"], "env": {"TOKEN": SECRET}, "enabled": False}},
    }
    assert found.keys == {"MOONSHOT_API_KEY": SECRET}
    assert found.left == [
        "telemetry",
        "providers.managed:kimi-code.oauth (a login, not a key: millstream set-key stores one)",
        "providers.cloud",
        "models.kimi-code/k3.max_context_size",
        "models.fast.max_context_size",
        "models.lost",
        "loop_control",
        "mcp.json: mcpServers.files.trust",
        "mcp.json: mcpServers.odd",
    ]


@pytest.mark.parametrize("convert", [claude_code_router.convert, litellm.convert, kimi.convert])
@pytest.mark.parametrize(
    "tree",
    [
        {"Providers": "x", "Router": [], "model_list": {}, "providers": [], "models": 1, "default_model": 2},
        {"Providers": [1, {}, {"name": 2, "transformer": {"use": [[], [1], {}]}}], "Router": {"default": 3}},
        {"model_list": [1, {}, {"model_name": 1}, {"model_name": "x", "litellm_params": []}], "router_settings": 1},
        {"providers": {"a": 1, "b": {}, "c": {"type": "kimi", "env": 3}}, "models": {"x": 1, "y": {"provider": "a"}}},
    ],
)
def test_settings_of_wrong_types_are_left_out_and_not_tripped_over(convert: Any, tree: Any) -> None:
    found = convert(tree)
    check(found.settings(), "test")
    assert found.left


def _router(shell: Shell) -> Path:
    file = shell.home / "config.json"
    file.write_text(ROUTER)
    return file


def test_what_is_printed_is_valid_and_shows_no_key(shell: Shell, inside: Inside) -> None:
    done = inside("import", str(_router(shell)))
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(done.stdout)["default_model"] == "deepseek/deepseek-chat"
    assert SECRET not in done.stdout + done.stderr
    assert "Not carried:\n" in done.stderr
    assert "  LOG\n" in done.stderr
    assert "keys are not printed; --write stores them" in done.stderr


def test_what_is_written_can_be_served_at_once(shell: Shell, inside: Inside) -> None:
    shell.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    folder = shell.home / ".config/millstream"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("# mine\n")
    refused = inside("import", str(_router(shell)), "--write")
    assert refused.returncode == 1
    assert "--force writes over them, and keeps them in a .bak" in refused.stderr
    done = inside("import", str(_router(shell)), "--write", "--force")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert (folder / "config.toml.bak").read_text() == "# mine\n"
    assert stat.S_IMODE((folder / "keys.toml").stat().st_mode) == 0o600
    rows = {row["name"]: row for row in json.loads(shell.run("models", "--json").stdout)}
    assert rows["deepseek/deepseek-chat"]["default"]
    assert rows["deepseek/deepseek-chat"]["usable"]
    assert "claude-*haiku*" in rows["ollama/qwen2.5-coder:latest"]["aliases"]


def test_a_folder_of_kimi_code_is_taken_with_its_servers_and_their_secrets_stay_hidden(
    shell: Shell, inside: Inside
) -> None:
    folder = shell.home / ".kimi-code"
    folder.mkdir()
    (folder / "config.toml").write_text(KIMI)
    servers = {"files": {"command": "npx", "env": {"TOKEN": SECRET}}}
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    done = inside("import", str(folder))
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(done.stdout)["mcp_servers"]["files"]["env"] == {"TOKEN": "…"}
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("config.json", "{", "cannot be read: Expecting property name"),
        ("config.json", "{}", "is none of claude-code-router, LiteLLM and Kimi Code"),
        ("config.json", '{"Providers": []}', "has a meaning here"),
        ("config.yaml", f"key: [{SECRET}", "cannot be read: not valid YAML (line 1)"),
        ("config.toml", "x", "cannot be read"),
        ("config.toml", "", "is none of"),
        ("notes", "", "holds none of config.json"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(
    shell: Shell, inside: Inside, name: str, text: str, told: str
) -> None:
    folder = shell.home / "other"
    folder.mkdir()
    (folder / name).write_text(text)
    done = inside("import", str(folder))
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert SECRET not in done.stderr
