"""What ``doctor`` looks at. Each check finds out one thing, changes nothing, and says what to do where it is wrong."""

from __future__ import annotations

import http.client
import importlib.metadata
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from millstream import config
from millstream.cli import embedded, gateway
from millstream.config import Config
from millstream.providers.catalog import Provider

Status = Literal["ok", "absent", "warning", "broken"]
"""``absent`` is fine, ``warning`` deserves a look, ``broken`` keeps millstream from working."""

LIBRARIES = ("httptools", "msgspec", "starlette", "uvicorn", "uvloop")
AGENTS = ("claude", "codex", "gemini", "opencode")
PROGRAMS = ("node", "redis-server", "chromium", "bwrap")
ANSWER_LIMIT = 60.0
"""Seconds a model may take for its first token before it counts as not answering."""

_VERSION_LIMIT = 10.0
_VERSION = re.compile(r"\d+(\.\d+)+")
_SHOWN_OF_KEY = 4


class Check(msgspec.Struct, frozen=True):
    """One line of the report. ``fix`` says what to do about it."""

    section: str
    name: str
    status: Status
    detail: str
    fix: str | None = None


def libraries() -> list[Check]:
    version = platform.python_version()
    found = [Check("installed", "python", "ok", f"{version} ({sys.executable})")]
    for name in ("millstream", *LIBRARIES):
        try:
            found.append(Check("installed", name, "ok", importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            optional = name == "uvloop" and sys.platform == "win32"
            fix = None if optional else "pip install --force-reinstall millstream"
            found.append(Check("installed", name, "absent" if optional else "broken", "not installed", fix))
    return found


def programs() -> list[Check]:
    """Agents that ``launch`` can run, and programs that only some parts or tests use."""
    names = [*(("agents", name) for name in AGENTS), *(("programs", name) for name in PROGRAMS)]
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(lambda pair: _program(*pair), names))


def _program(section: str, name: str) -> Check:
    path = shutil.which(name)
    if path is None:
        return Check(section, name, "absent", "not installed")
    try:
        done = subprocess.run(  # noqa: S603  # a program of the user's own PATH, asked for its version
            [path, "--version"], capture_output=True, text=True, timeout=_VERSION_LIMIT, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(section, name, "warning", f"{path}, but `{name} --version` fails: {type(error).__name__}")
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        return Check(section, name, "warning", f"{path}, but `{name} --version` ends with status {done.returncode}")
    version = _VERSION.search(lines[0])
    return Check(section, name, "ok", f"{version[0] if version else lines[0].strip()} ({path})")


def masked(key: str, prefix: str | None) -> str:
    """``key`` so that its owner recognises it and nobody else learns it: its provider's prefix and its last four."""
    start = prefix if prefix and key.startswith(prefix) else ""
    hidden = len(key) - len(start) - _SHOWN_OF_KEY
    return f"{start}…{key[-_SHOWN_OF_KEY:]}" if hidden >= _SHOWN_OF_KEY else f"{start}…"


def keys(providers: Mapping[str, Provider]) -> list[Check]:
    found = [_key(provider, provider.key) for provider in providers.values() if provider.key is not None]
    missing = [p.key_env for p in providers.values() if p.key is None and p.key_env is not None]
    if missing:
        found.append(Check("keys", "not set", "absent", ", ".join(dict.fromkeys(missing))))
    return found


def _key(provider: Provider, key: str) -> Check:
    shown = masked(key, provider.key_prefix)
    source = f"{shown} ({provider.key_env})" if provider.key_env else shown
    if provider.key_prefix and not key.startswith(provider.key_prefix):
        fix = f"keys of {provider.name} begin with {provider.key_prefix}: is this another provider's?"
        return Check("keys", provider.name, "warning", source, fix)
    return Check("keys", provider.name, "ok", source)


def settings(file: Path | None, flags: list[str], environ: Mapping[str, str]) -> tuple[list[Check], Config | None]:
    """Whether the settings can be used, and they themselves if so."""
    named = file or (Path(environ["MILLSTREAM_CONFIG"]) if environ.get("MILLSTREAM_CONFIG") else None)
    path = named or config.default_path()
    found = [Check("settings", "file", "ok", str(path))]
    if named is None and not path.exists():
        found = [Check("settings", "file", "absent", f"{path} (none is needed)")]
    try:
        tree = config.load(file, environ, flags)
    except config.ConfigError as error:
        return [Check("settings", "file", "broken", str(error), "mend the setting it names")], None
    own = sorted(name for name in environ if name.startswith(config.ENV_PREFIX))
    if own:
        found.append(Check("settings", "environment", "ok", ", ".join(own)))
    return found, tree


def port(tree: Config, fingerprint: str) -> Check:
    server = tree.server
    url = gateway.url_of(server.host, server.port)
    health = gateway.probe(url)
    if health is not None:
        same = "same settings" if health.config == fingerprint else "other settings"
        return Check("gateway", url, "ok", f"millstream {health.version} runs there ({same})")
    try:
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((server.host, server.port))
    except OSError as error:
        fix = "stop what listens there, or choose another with --port (or server.port)"
        return Check("gateway", url, "broken", f"cannot be used: {error.strerror}", fix)
    return Check("gateway", url, "ok", "free")


def model_in_process(tree: Config, *, needed: bool) -> list[Check]:
    """The embedded model's library and file; ``needed`` where it is the default model."""
    if not embedded.is_installed():
        fix = f"{embedded.INSTALL}, or set the key of a provider"
        return [Check("model", "xllamacpp", "broken" if needed else "absent", "not installed", fix)]
    found = [Check("model", "xllamacpp", "ok", importlib.metadata.version("xllamacpp"))]
    file = embedded.file(tree)
    if file is not None:
        return [*found, Check("model", "model file", "ok", f"{file} ({file.stat().st_size // 10**6} MB)")]
    if tree.embedded.model is not None:
        fix = "embedded.model must name a GGUF file"
        return [*found, Check("model", "model file", "broken", f"{tree.embedded.model} is not there", fix)]
    fix = "millstream serve fetches it once"
    return [*found, Check("model", "model file", "warning" if needed else "absent", "not fetched yet", fix)]


def answer(url: str, model: str, key: str | None) -> Check:
    """One real call to the default model through the gateway at ``url``, ended at its first token."""
    host = url.removeprefix("http://")
    body = {"model": model, "max_tokens": 16, "stream": True, "messages": [{"role": "user", "content": "Say hello."}]}
    headers = {"content-type": "application/json", **({"x-api-key": key} if key else {})}
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, timeout=ANSWER_LIMIT)
    try:
        connection.request("POST", "/v1/messages", msgspec.json.encode(body), headers)
        reply = connection.getresponse()
        if reply.status != http.client.OK:
            return Check("model", model, "broken", _told(reply.read(64 * 1024)), "see the gateway's log")
        return _first_token(reply, model, began)
    except (OSError, http.client.HTTPException) as error:
        return Check("model", model, "broken", f"no answer within {ANSWER_LIMIT:.0f} s ({type(error).__name__})")
    finally:
        connection.close()


class _Delta(msgspec.Struct, frozen=True):
    text: str = ""
    thinking: str = ""


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Event(msgspec.Struct, frozen=True):
    type: str
    delta: _Delta = _Delta()
    error: _Error = _Error()


def _first_token(reply: http.client.HTTPResponse, model: str, began: float) -> Check:
    for line in reply:
        if not line.startswith(b"data:"):
            continue
        event = msgspec.json.decode(line[5:], type=_Event)
        if event.type == "error":
            return Check("model", model, "broken", event.error.message)
        if event.delta.text or event.delta.thinking:
            return Check("model", model, "ok", f"answers; first token after {(time.monotonic() - began) * 1000:.0f} ms")
        if time.monotonic() - began > ANSWER_LIMIT:
            break
    return Check("model", model, "broken", "the answer had no text")


def _told(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Event).error.message
    except msgspec.MsgspecError:
        return body[:200].decode(errors="replace")
