"""MCP servers in the configuration, in the shapes that people paste from other clients."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from millstream.config import Config, ConfigError, fingerprint
from millstream.server.mcp import mcp_settings
from millstream.tools.mcp.settings import Address, OAuth, Program, ServerSettings


def _config(text: str) -> Config:
    return msgspec.convert(tomllib.loads(text), Config)


def _one(text: str, **environ: str) -> ServerSettings:
    (found,) = mcp_settings(_config(f"[mcp_servers.it]\n{text}").mcp_servers, environ).values()
    return found


def test_a_command_with_variables_of_the_environment() -> None:
    found = _one(
        'command = "${BIN}/serve"\nargs = ["--key", "${KEY:-none}"]\nenv = {A = "${BIN}"}\ntype = "stdio"', BIN="/b"
    )
    assert found.target == Program("/b/serve", ("--key", "none"), {"A": "/b"})


def test_a_url_with_headers() -> None:
    found = _one('url = "https://x.example/mcp"\nheaders = {Authorization = "Bearer ${T}"}\ntype = "http"', T="t")
    assert found.target == Address("https://x.example/mcp", {"Authorization": "Bearer t"})


def test_what_codex_calls_things() -> None:
    found = _one(
        'url = "https://x.example/mcp"\nbearer_token_env_var = "T"\nhttp_headers = {A = "1"}\nenabled_tools = ["a*"]\n'
        'disabled_tools = ["ab"]\nstartup_timeout_sec = 3\ntool_timeout_sec = 4',
        T="t",
    )
    assert found.target == Address("https://x.example/mcp", {"A": "1", "Authorization": "Bearer t"})
    assert (found.startup_timeout, found.timeout) == (3, 4)
    assert [name for name in ("a", "ab", "b") if found.admits(name)] == ["a"]


def test_oauth_keeps_its_tokens_apart_for_each_server() -> None:
    first = _one('url = "https://x.example/mcp"\noauth.grant = "authorization_code"').target
    other = _one('url = "https://y.example/mcp"\noauth.grant = "authorization_code"').target
    assert isinstance(first, Address)
    assert isinstance(other, Address)
    assert isinstance(first.oauth, OAuth)
    assert isinstance(other.oauth, OAuth)
    assert first.oauth.tokens != other.oauth.tokens


def test_a_server_that_is_not_enabled_is_not_there() -> None:
    assert not mcp_settings(_config('[mcp_servers.it]\ncommand = "x"\nenabled = false').mcp_servers, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "either a command"),
        ('command = "x"\nurl = "http://x"', "either a command"),
        ('command = "x"\ntype = "http"', "stdio"),
        ('url = "ftp://x"', "streamable HTTP"),
        ('command = "${NO}"', "NO is not set"),
        ('url = "http://x"\noauth.grant = "client_credentials"', "client_id and client_secret"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_the_server(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"mcp_servers\.it") as raised:
        _one(text)
    assert words in str(raised.value)


def test_no_secret_shows_in_the_fingerprint() -> None:
    server = '[mcp_servers.it]\nurl = "http://x"\nheaders = {A = "%s"}\noauth.client_secret = "%s"'
    assert fingerprint(_config(server % ("a", "b")), ()) == fingerprint(_config(server % ("c", "d")), ())


def test_settings_of_one_tool() -> None:
    found = _one('command = "x"\ntools.a.timeout = 2\ntools.a.permission = "ask"')
    assert (found.tools["a"].timeout, found.tools["a"].permission) == (2, "ask")
    assert Path(found.target.command if isinstance(found.target, Program) else "").name == "x"
