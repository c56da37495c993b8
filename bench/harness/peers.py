"""Other gateways, for the side-by-side table: each in an environment of its own below ``build/peers``, which
``make peers`` fills. Each gets an Anthropic client on a Chat upstream where it can do that, else a Chat client.

What they log is turned down as far as they let us, as one would for production.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from harness.subjects import Dialect, Launch, Place, Subject

PEERS = Path(__file__).resolve().parents[1] / "build" / "peers"
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin"


def _environ(place: Place, **more: str) -> dict[str, str]:
    """Nothing of the caller's: no keys, no settings, a home of its own."""
    return {"PATH": _SYSTEM_PATH, "HOME": str(place.folder), **more}


def _written(place: Place, name: str, text: str) -> str:
    path = place.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def _rolter(_: Subject, place: Place) -> Launch:
    text = (
        f'[server]\nrequire_auth = false\nhost = "127.0.0.1"\nport = {place.port}\n'
        f'[[providers]]\nname = "load"\nkind = "openai_compatible"\napi_base = "http://127.0.0.1:{place.upstream}"\n'
        '[[routes]]\nmodel = "m"\nstrategy = "round_robin"\n[[routes.targets]]\nprovider = "load"\nmodel = "m"\n'
    )
    command = [str(PEERS / "rolter/bin/rolter"), "gateway", "--config", _written(place, "rolter.toml", text)]
    return Launch(command, environ=_environ(place, RUST_LOG="warn"))


_TENSORZERO = """\
import sys
from tensorzero.tensorzero import _start_http_gateway
stores = dict.fromkeys(("clickhouse_url", "postgres_url", "valkey_url"))
gateway = _start_http_gateway(config_file=sys.argv[1], async_setup=False, **stores)
print("serving at", gateway.base_url, flush=True)
sys.stdin.read()
"""


def _tensorzero(_: Subject, place: Place) -> Launch:
    """Its HTTP gateway, started from the Python package, takes a free port of its own choice."""
    text = (
        "[gateway]\nobservability.enabled = false\n"
        '[models.m]\nrouting = ["load"]\n[models.m.providers.load]\ntype = "openai"\nmodel_name = "m"\n'
        f'api_base = "http://127.0.0.1:{place.upstream}/v1/"\napi_key_location = "none"\n'
    )
    command = [str(PEERS / "tensorzero/bin/python"), _written(place, "start.py", _TENSORZERO)]
    command.append(_written(place, "tensorzero.toml", text))
    return Launch(command, environ=_environ(place), port=r"serving at http://127\.0\.0\.1:(\d+)")


def _ferrogw(_: Subject, place: Place) -> Launch:
    config = _written(place, "ferrogw.yaml", "strategy:\n  mode: fallback\ntargets:\n  - virtual_key: openai\n")
    environ = _environ(
        place,
        GATEWAY_CONFIG=config,
        OPENAI_API_KEY="none",
        OPENAI_BASE_URL=f"http://127.0.0.1:{place.upstream}",
        MASTER_KEY="none",  # what our client shows
        PORT=str(place.port),
        LOG_LEVEL="error",
        RATE_LIMIT_RPS="0",
    )
    return Launch([str(PEERS / "ferrogw/bin/ferrogw"), "serve"], environ=environ)


def _litellm(_: Subject, place: Place) -> Launch:
    model = {"model": "hosted_vllm/m", "api_base": f"http://127.0.0.1:{place.upstream}/v1", "api_key": "none"}
    settings = {
        "model_list": [{"model_name": "m", "litellm_params": model}],
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},  # it listens on loopback alone
    }
    config = _written(place, "litellm.yaml", json.dumps(settings))
    command = [str(PEERS / "litellm/bin/litellm"), "--config", config, "--host", "127.0.0.1", "--port", str(place.port)]
    environ = _environ(place, LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", LITELLM_MODE="PRODUCTION")
    return Launch(command, ready="/health/liveliness", environ=environ)


def _portkey(_: Subject, place: Place) -> Launch:
    start = PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    environ = _environ(place, NODE_ENV="production")
    return Launch(["node", str(start), f"--port={place.port}", "--headless"], environ=environ)


def _claude_code_router(_: Subject, place: Place) -> Launch:
    provider = {
        "name": "load",
        "api_base_url": f"http://127.0.0.1:{place.upstream}/v1/chat/completions",
        "api_key": "none",
        "models": ["m"],
    }
    settings = {
        "HOST": "127.0.0.1",
        "PORT": place.port,
        "LOG": False,
        "NON_INTERACTIVE_MODE": True,
        "Providers": [provider],
        "Router": {"default": "load,m"},
    }
    _written(place, ".claude-code-router/config.json", json.dumps(settings))
    start = PEERS / "claude-code-router/node_modules/@musistudio/claude-code-router/dist/cli.js"
    return Launch(["node", str(start), "start"], ready="/health", environ=_environ(place, SERVICE_PORT=str(place.port)))


def _version(package: str, home: str) -> str:
    """As npm or pip wrote it down where it put the package."""
    about = PEERS / home / "node_modules" / package / "package.json"
    if about.exists():
        return f"{package} {json.loads(about.read_text())['version']}"
    found = next((PEERS / home).glob(f"lib/python*/site-packages/{package}-*.dist-info"), None)
    return f"{package} {found.stem.partition('-')[2] if found else 'of unknown version'}"


def _title(name: str, client: Dialect) -> str:
    return f"{name}: {'Anthropic' if client == 'anthropic' else 'Chat'} ← Chat"


SUBJECTS = (
    Subject(
        name="rolter",
        title=_title("rolter", "anthropic"),
        client="anthropic",
        start=_rolter,
        program=str(PEERS / "rolter/bin/rolter"),
        version=partial(_version, "rolter", "rolter"),
    ),
    Subject(
        name="tensorzero",
        title=_title("TensorZero", "openai_chat"),
        model="tensorzero::model_name::m",
        at="/openai/v1/chat/completions",
        start=_tensorzero,
        program=str(PEERS / "tensorzero/bin/python"),
        version=partial(_version, "tensorzero", "tensorzero"),
    ),
    Subject(
        name="ferrogw",
        title=_title("ferrogw", "openai_chat"),
        model="gpt-4o",
        start=_ferrogw,
        program=str(PEERS / "ferrogw/bin/ferrogw"),
        version=partial(_version, "ferrogw", "ferrogw"),
    ),
    Subject(
        name="litellm",
        title=_title("LiteLLM", "anthropic"),
        client="anthropic",
        start=_litellm,
        program=str(PEERS / "litellm/bin/litellm"),
        version=partial(_version, "litellm", "litellm"),
    ),
    Subject(
        name="portkey",
        title=_title("Portkey", "openai_chat"),
        more_headers=("x-portkey-provider: openai", "x-portkey-custom-host: http://127.0.0.1:{upstream}/v1"),
        start=_portkey,
        program=str(PEERS / "portkey/node_modules/.bin/gateway"),
        version=partial(_version, "@portkey-ai/gateway", "portkey"),
    ),
    Subject(
        name="claude-code-router",
        title=_title("claude-code-router", "anthropic"),
        client="anthropic",
        start=_claude_code_router,
        program=str(PEERS / "claude-code-router/node_modules/.bin/ccr"),
        version=partial(_version, "@musistudio/claude-code-router", "claude-code-router"),
    ),
)
