"""Behind real proxies with their default settings every piece of a stream comes as it is said."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import zlib
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from gateway_site import run
from plain_site import WIRE, PlainSite, body
from raw_client import RawClient
from raw_upstream import Call

_NGINX = """\
{user}daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{goal}; proxy_set_header Host $http_host; }}
  }}
}}
"""
_HAPROXY = """\
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend front
  bind fd@{listener}
  default_backend back
backend back
  server one 127.0.0.1:{goal}
"""
_END_S = 10.0


def _nginx(program: str, folder: Path, listener: socket.socket, goal: int) -> tuple[list[str], dict[str, str]]:
    user = "user root;\n" if os.geteuid() == 0 else ""  # else its worker may not enter our folder
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(user=user, folder=folder, port=listener.getsockname()[1], goal=goal))
    command = [program, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
    # As an nginx is told that takes the place of another, https://nginx.org/en/docs/control.html#upgrade
    return command, {"NGINX": f"{listener.fileno()};"}


def _haproxy(program: str, folder: Path, listener: socket.socket, goal: int) -> tuple[list[str], dict[str, str]]:
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(listener=listener.fileno(), goal=goal))
    return [program, "-db", "-f", str(config)], {}


_PROXIES: dict[str, Callable[[str, Path, socket.socket, int], tuple[list[str], dict[str, str]]]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
}


@pytest.fixture(params=_PROXIES)
def proxy(
    request: pytest.FixtureRequest, plain: PlainSite, tmp_path_factory: pytest.TempPathFactory
) -> Generator[tuple[str, int]]:
    """The address of one in front of a gateway. It is given a socket that listens, so nobody waits for it."""
    program = shutil.which(request.param) or shutil.which(request.param, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # nginx takes it as it is
        address: tuple[str, int] = listener.getsockname()
        command, environ = _PROXIES[request.param](program, folder, listener, plain.gateway().address[1])
        process = subprocess.Popen(
            command,
            env={**os.environ, **environ},
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield address
    finally:
        process.terminate()
        process.wait(_END_S)


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_each_piece_comes_through_before_the_next_is_said(
    plain: PlainSite, proxy: tuple[str, int], coding: str
) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def one_by_one(call: Call) -> None:
            await call.head()
            for number in range(5):
                go_on.clear()
                await call.send((WIRE.start() if not number else b"") + WIRE.text(0, f"w{number} ", first=not number))
                await go_on.wait()
            await call.send(WIRE.close(0) + WIRE.end())
            await call.end()

        decoder = zlib.decompressobj(31)
        async with plain.upstream(one_by_one), RawClient(proxy) as client:
            await client.send("POST", "/api/v1/stream", body(), {"accept-encoding": coding} if coding else {})
            assert await client.head() == 200
            assert client.headers.get("content-encoding", "") == coding
            got = b""
            for number in range(5):
                while b'"w%d "' % number not in got:
                    piece = await client.body.read()
                    assert piece, got
                    got += decoder.decompress(piece) if coding else piece
                go_on.set()
            rest = await client.body.rest()
            got += decoder.decompress(rest) if coding else rest
            assert b"event: complete" in got

    run(main())
