"""Agents are found wherever installers put them, and with the version that the program itself tells."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.cli import places
from millstream.cli.found_agents import found_agents

DESKTOP = "home/Library/Application Support/Claude/claude-code"

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Makes a program below the root that tells this version, by itself or as one that is run with node."""

    def make(place: str, version: str, *, script: str = "#!/bin/sh\necho") -> Path:
        program = tmp_path / place
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"{script} '{version} (an agent)'\n")
        program.chmod(0o755)
        return program

    return make


def found(root: Path, name: str, **environ: str) -> tuple[str | None, str | None]:
    """Where ``name`` is, from the root, and its version."""
    known = {"HOME": str(root / "home"), "PATH": str(root / "bin"), **environ}
    agent = next(each for each in found_agents(known, root) if each.program.name == name)
    return agent.path and str(Path(agent.path).relative_to(root)), agent.version


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("claude", "home/.local/bin/claude"),
        ("claude", "home/.claude/local/claude"),
        ("claude", "opt/homebrew/bin/claude"),
        ("claude", "usr/local/bin/claude"),
        ("claude", "home/linuxbrew/.linuxbrew/bin/claude"),
        ("claude", f"{DESKTOP}/2.0.72/claude"),
        ("claude", f"{DESKTOP}/2.1.92/claude.app/Contents/MacOS/claude"),
        ("claude", f"{DESKTOP}/2.1.290/0a9f/claude.app/Contents/MacOS/claude"),
        ("claude", "home/.config/Claude/claude-code/2.1.275/claude"),
        ("codex", "Applications/Codex.app/Contents/Resources/codex"),
        ("codex", "home/Applications/ChatGPT.app/Contents/Resources/codex"),
        ("codex", "home/.codex/packages/standalone/current/bin/codex"),
        ("codex", "home/.npm-global/bin/codex"),
        ("gemini", "home/.nvm/versions/node/v22.14.0/bin/gemini"),
        ("gemini", "home/.volta/bin/gemini"),
        ("gemini", "home/.bun/bin/gemini"),
        ("gemini", "home/Library/pnpm/gemini"),
        ("gemini", "home/.local/share/pnpm/bin/gemini"),
        ("gemini", "home/Library/Application Support/fnm/aliases/default/bin/gemini"),
        ("gemini", "home/.local/share/mise/shims/gemini"),
        ("opencode", "home/.opencode/bin/opencode"),
        ("opencode", "Applications/OpenCode.app/Contents/MacOS/opencode-cli"),
    ],
)
def test_an_agent_is_found_where_its_installer_puts_it(name: str, place: str, put: Put, tmp_path: Path) -> None:
    assert found(tmp_path, name) == (None, None)
    put(place, "7.8.9")
    assert found(tmp_path, name) == (place, "7.8.9")


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("NPM_CONFIG_PREFIX", "bin"),
        ("VOLTA_HOME", "bin"),
        ("BUN_INSTALL", "bin"),
        ("PNPM_HOME", "."),
        ("PNPM_HOME", "bin"),
        ("FNM_DIR", "aliases/default/bin"),
        ("NVM_DIR", "versions/node/v24.0.1/bin"),
        ("CODEX_HOME", "packages/standalone/current/bin"),
    ],
)
def test_an_installer_that_was_told_another_folder_is_followed(
    variable: str, folder: str, put: Put, tmp_path: Path
) -> None:
    there = put(f"elsewhere/{folder}/codex", "1.2.3").relative_to(tmp_path)
    assert found(tmp_path, "codex") == (None, None)
    assert found(tmp_path, "codex", **{variable: str(tmp_path / "elsewhere")}) == (str(there), "1.2.3")


@pytest.mark.parametrize("written", ["prefix={}", 'color=false\nprefix = "{}"\n', "prefix=${{HOME}}/tools"])
def test_the_prefix_that_npm_was_given_is_read(written: str, put: Put, tmp_path: Path) -> None:
    put("home/tools/bin/gemini", "0.61.0")
    (tmp_path / "home/.npmrc").write_text(written.format("~/tools"))
    assert found(tmp_path, "gemini") == ("home/tools/bin/gemini", "0.61.0")


def test_what_is_in_path_is_before_what_installers_put_elsewhere(put: Put, tmp_path: Path) -> None:
    put("home/.local/bin/claude", "1.0.0")
    put("bin/claude", "2.0.0")
    assert found(tmp_path, "claude") == ("bin/claude", "2.0.0")


def test_what_a_user_has_installed_is_before_what_came_with_an_app(put: Put, tmp_path: Path) -> None:
    put("Applications/Codex.app/Contents/Resources/codex", "3.0.0")
    put("usr/local/bin/codex", "2.0.0")
    assert found(tmp_path, "codex") == ("usr/local/bin/codex", "2.0.0")


def test_of_several_versions_the_newest_is_taken(put: Put, tmp_path: Path) -> None:
    for version in ("2.1.9", "2.1.220", "2.1.30"):
        put(f"{DESKTOP}/{version}/claude.app/Contents/MacOS/claude", version)
    for node in ("v9.11.2", "v22.1.0"):
        put(f"home/.nvm/versions/node/{node}/bin/gemini", node)
    assert found(tmp_path, "claude") == (f"{DESKTOP}/2.1.220/claude.app/Contents/MacOS/claude", "2.1.220")
    assert found(tmp_path, "gemini") == ("home/.nvm/versions/node/v22.1.0/bin/gemini", "22.1.0")


def test_a_folder_or_a_file_that_cannot_be_run_is_no_agent(put: Put, tmp_path: Path) -> None:
    (tmp_path / "home/.local/bin/claude").mkdir(parents=True)
    put("home/.npm-global/bin/claude", "1.0.0").chmod(0o644)
    assert found(tmp_path, "claude") == (None, None)
    put("usr/local/bin/claude", "2.0.0")
    assert found(tmp_path, "claude") == ("usr/local/bin/claude", "2.0.0")


def test_an_agent_that_node_runs_finds_the_node_beside_it(put: Put, tmp_path: Path) -> None:
    place = "home/.nvm/versions/node/v22.14.0/bin"
    put(f"{place}/node", "the version is 0.61.0")
    put(f"{place}/gemini", "", script="#!/usr/bin/env node\n//")
    assert found(tmp_path, "gemini") == (f"{place}/gemini", "0.61.0")


def test_a_node_in_path_stays_the_one_that_is_used(put: Put, tmp_path: Path) -> None:
    program = put("home/.volta/bin/gemini", "1.0.0")
    put("home/.volta/bin/node", "beside")
    put("bin/node", "in PATH")
    environ = {"PATH": str(tmp_path / "bin")}
    assert places.beside(str(program), environ) == environ


def test_launch_starts_an_agent_of_an_app(put: Put, tmp_path: Path) -> None:
    put(f"{DESKTOP}/2.1.290/0a9f/claude.app/Contents/MacOS/claude", "started:", script='#!/bin/sh\necho "$@"')
    environ = {"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "MILLSTREAM_PORT": "0"}
    launch = [sys.executable, "-m", "millstream", "launch", "claude", "--set", "default_model=replay/hello"]
    done = subprocess.run([*launch, "--", "--print", "Hi"], env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "--print Hi started: (an agent)\n")
