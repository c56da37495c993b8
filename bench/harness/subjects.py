"""What is measured: each subject is one entry that says how to start it and how to ask it.

Another gateway is one more entry in ``SUBJECTS``: a name, the dialects on both sides, the model's name there and a
function from ``Place`` to ``Launch``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.loads import Load

Dialect = Literal["anthropic", "openai_chat"]
_ROOT = Path(__file__).resolve().parents[2]
_PATHS: dict[Dialect, str] = {"anthropic": "/v1/messages", "openai_chat": "/v1/chat/completions"}
_MARKERS: dict[Dialect, str] = {"anthropic": "message_stop", "openai_chat": "[DONE]"}
_HEADERS: dict[Dialect, tuple[str, ...]] = {
    "anthropic": ("anthropic-version: 2023-06-01", "x-api-key: none"),
    "openai_chat": ("authorization: Bearer none",),
}


@dataclass(frozen=True)
class Place:
    """Where a subject runs: its own folder, its port, and the upstream's port."""

    folder: Path
    port: int
    upstream: int


@dataclass(frozen=True)
class Launch:
    """How to start it. ``ready`` is a path that answers 200 once it serves; None: an open port is enough. ``port`` is
    for one that chooses its port itself: the pattern of the words in its log that tell which."""

    command: list[str]
    ready: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    port: str | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """``start`` None: the client talks to the upstream itself. ``program`` is what must be installed, if anything.
    ``at`` is its path if that is not the dialect's own; ``{upstream}`` in ``more_headers`` is the upstream's port."""

    name: str
    title: str
    client: Dialect = "openai_chat"
    upstream: Dialect = "openai_chat"
    model: str = "m"
    at: str | None = None
    more_headers: tuple[str, ...] = ()
    start: Callable[[Subject, Place], Launch] | None = None
    program: str | None = None
    version: Callable[[], str] | None = None

    @property
    def path(self) -> str:
        return self.at or _PATHS[self.client]

    @property
    def marker(self) -> str:
        """What the last frame of a stream holds."""
        return _MARKERS[self.client]

    def headers(self, upstream: int) -> tuple[str, ...]:
        return (*_HEADERS[self.client], *(header.format(upstream=upstream) for header in self.more_headers))

    def body(self, load: Load) -> bytes:
        """What an SDK would send, small."""
        fields: dict[str, object] = {
            "model": self.model,
            "max_tokens": 1024,
            "stream": not load.whole,
            "messages": [{"role": "user", "content": load.prompt}],
        }
        if self.client == "openai_chat" and not load.whole:
            fields["stream_options"] = {"include_usage": True}
        return json.dumps(fields).encode()

    def missing(self) -> str | None:
        """Why this subject cannot run here."""
        if self.program is None or find_program(self.program) is not None:
            return None
        return f"{self.program} is not installed"


def find_program(name: str) -> str | None:
    """Beside this interpreter, on the path, or where administrators' programs are."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=os.pathsep.join([str(beside), os.environ.get("PATH", ""), "/usr/sbin"]))


def _program(subject: Subject) -> str:
    path = find_program(subject.program or subject.name)
    assert path is not None, "missing() is asked first"
    return path


_NGINX_CONFIG = """\
{user}worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 10000; multi_accept on; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_body_buffer_size 1m;
  client_max_body_size 32m;
  upstream load {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://load;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_buffer_size 32k;
      proxy_buffers 8 32k;
      proxy_busy_buffers_size 64k;
      proxy_read_timeout 300s;
    }}
  }}
}}
"""


def _nginx(subject: Subject, place: Place) -> Launch:
    user = "user root;\n" if os.geteuid() == 0 else ""  # else its worker may not enter our folder
    text = _NGINX_CONFIG.format(user=user, folder=place.folder, upstream=place.upstream, port=place.port)
    config = place.folder / "nginx.conf"
    config.write_text(text)
    return Launch([_program(subject), "-c", str(config), "-p", str(place.folder)])


_MILLSTREAM_CONFIG = """\
default_model = "load/m"

[providers.load]
dialect = "{dialect}"
base_url = "http://127.0.0.1:{upstream}{path}"
"""


def _floor(subject: Subject, place: Place) -> Launch:
    how = ["translate"] if subject.client != subject.upstream else []
    return Launch([sys.executable, str(_ROOT / "bench/floor.py"), str(place.port), str(place.upstream), *how])


def _millstream(subject: Subject, place: Place) -> Launch:
    config = place.folder / "millstream.toml"
    path = "/v1" if subject.upstream == "openai_chat" else ""
    config.write_text(_MILLSTREAM_CONFIG.format(dialect=subject.upstream, upstream=place.upstream, path=path))
    command = [_program(subject), "serve", "--config", str(config), "--port", str(place.port), "--until-eof"]
    # No key of the caller's environment, no settings of theirs.
    environ = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(place.folder)}
    return Launch(command, ready="/health", environ=environ)


def _millstream_version() -> str:
    program = find_program("millstream")
    said = subprocess.run([program or "millstream", "--version"], capture_output=True, text=True, check=False).stdout
    commit = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"]
    return f"{said.strip()} ({subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()})"


def _nginx_version() -> str:
    program = find_program("nginx")
    return subprocess.run([program or "nginx", "-v"], capture_output=True, text=True, check=False).stderr.strip()


COMPILED = _ROOT / "bench/build/compiled/millstream"
"""What ``make compiled`` builds."""

SUBJECTS = (
    Subject(name="direct", title="direct"),
    Subject(
        name="nginx",
        title="nginx, bytes as they are",
        start=_nginx,
        program="nginx",
        version=_nginx_version,
    ),
    Subject(name="floor", title="Python's floor, bytes as they are", start=_floor),
    Subject(name="floor-translate", title="Python's floor: Anthropic ← Chat", client="anthropic", start=_floor),
    Subject(
        name="millstream-translate",
        title="millstream: Anthropic ← Chat",
        client="anthropic",
        model="load/m",
        start=_millstream,
        program="millstream",
        version=_millstream_version,
    ),
    Subject(
        name="millstream-reverse",
        title="millstream: Chat ← Anthropic",
        upstream="anthropic",
        model="load/m",
        start=_millstream,
        program="millstream",
        version=_millstream_version,
    ),
    Subject(
        name="millstream-same",
        title="millstream: Chat ← Chat, side door",
        model="load/m",
        start=_millstream,
        program="millstream",
        version=_millstream_version,
    ),
    Subject(
        name="millstream-compiled",
        title="millstream, compiled: Anthropic ← Chat",
        client="anthropic",
        model="load/m",
        start=_millstream,
        program=str(COMPILED),
    ),
)
