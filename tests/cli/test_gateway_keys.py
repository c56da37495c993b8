"""``millstream keys`` and ``millstream usage``."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from millstream.cli.main import app
from millstream.config import AuthConfig, Config
from millstream.server.credentials import Credentials
from millstream.sessions.usage import HOUR_S, Place, SqliteUsage, Used


def run(tmp_path: Path, *arguments: str) -> Result:
    settings = (f"auth.keys_file={tmp_path / 'keys.json'}", f"sessions.path={tmp_path / 's.db'}")
    return CliRunner().invoke(app, [*arguments, *(part for one in settings for part in ("--set", one))])


def made(tmp_path: Path, *arguments: str) -> str:
    result = run(tmp_path, "keys", "add", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def credentials(tmp_path: Path) -> Credentials:
    return Credentials(Config(auth=AuthConfig(keys_file=str(tmp_path / "keys.json"))), {}, time.time)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").touch()
    monkeypatch.setenv("MILLSTREAM_CONFIG", str(tmp_path / "empty.toml"))


def test_a_key_lets_in_as_it_was_made_until_it_is_revoked(tmp_path: Path) -> None:
    key = made(tmp_path, "ann", "--user", "ann", "--models", "groq/*", "--models", "small", "--budget", "2.5")
    caller = credentials(tmp_path).find([key])
    assert caller is not None
    assert (caller.name, caller.user, caller.models) == ("ann", "ann", ("groq/*", "small"))
    assert (caller.limits.budget, caller.limits.period, caller.admin) == (2.5, "month", False)
    assert run(tmp_path, "keys", "revoke", "ann").exit_code == 0
    assert credentials(tmp_path).find([key]) is None


def test_no_listing_and_no_file_has_a_key(tmp_path: Path) -> None:
    key = made(tmp_path, "ci", "--requests-per-minute", "5")
    for arguments in (("keys", "list"), ("keys", "list", "--json")):
        said = run(tmp_path, *arguments).stdout
        assert "ci" in said
        assert key not in said
        assert key[-4:] in said
    listed = json.loads(run(tmp_path, "keys", "list", "--json").stdout)
    assert "sha256" not in listed[0]
    assert key not in (tmp_path / "keys.json").read_text()


def test_each_key_is_another_and_a_name_is_given_once(tmp_path: Path) -> None:
    first, second = made(tmp_path, "a"), made(tmp_path, "b")
    assert first != second
    assert len(first) > 40
    assert run(tmp_path, "keys", "add", "a").exit_code != 0
    assert run(tmp_path, "keys", "add", "no good").exit_code != 0
    assert run(tmp_path, "keys", "revoke", "nobody").exit_code != 0
    assert credentials(tmp_path).find([first]) is not None


def test_usage_is_read_from_the_file_of_this_machine(tmp_path: Path) -> None:
    import asyncio

    async def write() -> None:
        store = SqliteUsage(tmp_path / "usage.db")
        hour = int(time.time()) // HOUR_S
        await store.add([(Place(hour, "ci", "", "groq/kimi"), Used(2, 1, 0, 100, 0, 50, 1_250_000))])
        await store.add([(Place(hour, "ci", "", "groq/kimi"), Used(1, 0, 1, 10, 0, 5, 0))])
        await store.aclose()

    assert "nothing was used" in run(tmp_path, "usage").stdout
    asyncio.run(write())
    told = json.loads(run(tmp_path, "usage", "--by", "key", "--json").stdout)
    assert told["usage"] == [
        {
            "key": "ci",
            "requests": 3,
            "failed": 1,
            "unpriced": 1,
            "input_tokens": 110,
            "cache_read_tokens": 0,
            "output_tokens": 55,
            "cost_usd": 1.25,
        }
    ]
    assert "$1.2500" in run(tmp_path, "usage").stdout
