"""``millstream tools``: what runs here, from where, and what is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

SERVER = Path(__file__).parents[1] / "support/mcp_naughty.py"
CONFIG = f'[mcp_servers.odd]\ncommand = "{sys.executable}"\nargs = ["{SERVER}"]\nallow = ["echo", "d*"]\n'


def test_tools_are_listed_with_their_source(shell: Shell) -> None:
    done = shell.run("tools", "--config", str(shell.config(CONFIG)))
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = (line.split() for line in done.stdout.splitlines())
    assert head[:3] == ["tool", "source", "permission"]
    assert rows == [["echo", "odd", "allow"], ["die", "odd", "allow"]]


def test_a_missing_source_is_told_and_the_rest_is_there(shell: Shell) -> None:
    config = shell.config(CONFIG + '[mcp_servers.gone]\ncommand = "no-such-program"\n')
    done = shell.run("tools", "--config", str(config), "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert [tool["name"] for tool in told["tools"]] == ["echo", "die"]
    assert "gone" in told["missing"][0]


def test_without_any_one_learns_where_they_come_from(shell: Shell) -> None:
    done = shell.run("tools")
    assert (done.returncode, done.stdout) == (0, "")
    assert "[mcp_servers.NAME]" in done.stderr


def test_nobody_logs_in_to_a_server_without_oauth(shell: Shell) -> None:
    config = str(shell.config(CONFIG))
    assert "odd" in shell.run("tools", "--config", config, "login", "other").stderr
    done = shell.run("tools", "--config", config, "login", "odd")
    assert done.returncode == 2
    assert "authorization_code" in done.stderr
