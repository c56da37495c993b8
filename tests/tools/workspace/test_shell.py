"""Bash: what it may see, what it may change, and that it ends. Two settings: in the sandbox, and without one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millstream.tools.base import Progress, ToolContext, ToolOutcome, ToolSourceError
from millstream.tools.workspace import WorkspaceOptions, WorkspaceTools, sandbox

Bash = Callable[..., ToolOutcome]


@pytest.fixture(params=["sandbox", "unsafe"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether there is a sandbox."""
    if request.param == "sandbox":
        request.getfixturevalue("bubblewrap")
        return True
    monkeypatch.setattr(sandbox, "unusable", _unusable)
    return False


async def _unusable() -> str:
    return "bubblewrap (bwrap) is not installed"


def _tools(root: Path, **options: Any) -> WorkspaceTools:
    return WorkspaceTools(WorkspaceOptions(root, allow=frozenset({"Bash"}), unsafe=True, **options))


@pytest.fixture
def bash(root: Path, context: ToolContext) -> Bash:
    def run(command: str, /, options: dict[str, Any] | None = None, **more: Any) -> ToolOutcome:
        return asyncio.run(_tools(root, **(options or {})).call("Bash", {"command": command, **more}, context))

    return run


def _gone(pid: int) -> bool:
    """Waits until the process is gone, also as a zombie of nobody."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
    return False


def _alive(marker: str) -> list[int]:
    """Processes with ``marker`` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in words:
                found.append(int(entry.name))
    return found


def test_output_and_errors_come_in_order_with_the_exit_status(bash: Bash, either: bool) -> None:
    outcome = bash("echo one; echo two >&2; echo three; exit 3")
    assert outcome == ToolOutcome("one\ntwo\nthree\n[exit status 3]", is_error=True)
    assert bash("true") == ToolOutcome("(no output)")
    assert bash("kill -9 $$").content in ("[ended by signal 9]", "[exit status 137]")


def test_output_is_told_as_it_comes(root: Path, either: bool) -> None:
    """The command goes on only after its first words were told."""
    told: list[Progress] = []

    def progress(news: Progress) -> None:
        told.append(news)
        (root / "heard").touch()

    context = ToolContext(run_id="r", call_id="c", progress=progress)
    command = "echo first; until [ -e heard ]; do read -t 0.01 <> <(:); done; echo second"
    outcome = asyncio.run(_tools(root).call("Bash", {"command": command}, context))
    assert outcome == ToolOutcome("first\nsecond")
    assert "".join(news.message or "" for news in told) == "first\nsecond\n"


def test_the_directory_stays_and_variables_do_not(bash: Bash, root: Path, either: bool) -> None:
    (root / "a/b c").mkdir(parents=True)
    bash("cd 'a/b c'; export X=1")
    assert bash("pwd; echo ${X-unset}").content == f"{root}/a/b c\nunset"
    bash("cd ..; exit 1")
    assert bash("pwd").content == f"{root}/a"
    bash("(cd /); exec true")
    assert bash("pwd").content == f"{root}/a"
    assert bash("cd /usr").content == f"[the working directory is {root} again: the command left the workspace]"
    assert bash("pwd").content == str(root)


def test_a_directory_that_was_removed_is_left(bash: Bash, root: Path, either: bool) -> None:
    bash("mkdir gone; cd gone")
    (root / "gone").rmdir()
    assert bash("pwd").content == str(root)


def test_a_command_cannot_leave_the_shell_that_runs_it(bash: Bash, either: bool) -> None:
    assert "unexpected" in str(bash("}; echo out").content)
    assert bash("echo \"$(echo 'a b')\" '\"'").content == 'a b "'


def test_a_command_that_ignores_being_asked_to_end_is_ended(bash: Bash, either: bool) -> None:
    marker = f"3{os.getpid()}.25"
    outcome = bash(f"trap '' TERM; echo started; sleep {marker} & sleep {marker}; sleep {marker}", timeout=300)
    assert outcome == ToolOutcome("started\n[ended after 0.3 s: the time limit]", is_error=True)
    assert all(_gone(pid) for pid in _alive(marker))


def test_nothing_goes_on_in_the_background_nor_holds_up_the_end(bash: Bash, either: bool) -> None:
    marker = f"4{os.getpid()}.25"
    outcome = bash(f"trap '' HUP TERM; sleep {marker} & echo done")
    assert outcome == ToolOutcome("done")
    assert all(_gone(pid) for pid in _alive(marker))


def test_being_cancelled_ends_the_command_with_all_it_started(root: Path, either: bool) -> None:
    marker = f"5{os.getpid()}.25"

    async def cancelled() -> None:
        began = asyncio.Event()
        context = ToolContext(run_id="r", call_id="c", progress=lambda news: began.set())
        command = f"trap '' TERM; sleep {marker} & echo started; sleep {marker}; sleep {marker}"
        task = asyncio.ensure_future(_tools(root).call("Bash", {"command": command}, context))
        await began.wait()
        assert _alive(marker)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert all(_gone(pid) for pid in _alive(marker))


def test_a_hundred_megabytes_of_output_are_bounded(bash: Bash, progress: list[Progress], either: bool) -> None:
    outcome = bash("echo begin; head -c 104857600 /dev/zero | tr '\\0' x; echo; echo end", {"output_limit": 10_000})
    told = str(outcome.content)
    assert told.startswith("begin\nxxx")
    assert told.endswith("xxx\nend")
    assert "characters left out here" in told
    assert len(told) < 10_200
    news = [one.message or "" for one in progress]
    assert sum(map(len, news)) < 11_000
    assert "[100 MiB of output so far]\n" in news


def test_bytes_that_are_no_text_are_shown_as_such(bash: Bash, either: bool) -> None:
    assert bash(r"printf '\xff\xc3\xa4\xc3'").content == "\ufffdä\ufffd"


def test_the_gateways_own_variables_are_not_told(bash: Bash, monkeypatch: pytest.MonkeyPatch, either: bool) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-secret")
    told = str(bash("env; cat /proc/self/environ | tr '\\0' '\\n'").content)
    assert "PATH=" in told
    assert "sk-secret" not in told


@pytest.mark.usefixtures("bubblewrap")
class TestSandbox:
    def test_only_the_workspace_can_be_written(self, bash: Bash, root: Path) -> None:
        (root.parent / "outside").chmod(0o777)
        outcome = bash(
            f"touch inside; for f in /usr/x /etc/x /x {root.parent}/outside/x ../outside/x; do touch $f; done 2>&1"
        )
        assert (root / "inside").exists()
        assert not (root.parent / "outside/x").exists()
        assert not Path("/usr/x").exists()
        assert "cannot touch '/usr/x': Read-only file system" in str(outcome.content)

    def test_homes_and_other_peoples_files_in_tmp_are_not_seen(self, bash: Bash, root: Path) -> None:
        told = str(
            bash(f"cat ../outside/secret.txt; cat {root.parent}/outside/secret.txt; ls -A ~ /root /home").content
        )
        assert "the secret" not in told
        assert str(Path.home() / ".bashrc") not in told
        assert "[exit status" not in told

    def test_a_link_made_inside_leads_nowhere_outside(self, bash: Bash, root: Path, context: ToolContext) -> None:
        outside = root.parent / "outside/secret.txt"
        told = str(bash(f"ln -s {outside} soft; ln /etc/hostname hard; cat soft; ls").content)
        assert "the secret" not in told
        assert not (root / "hard").exists()
        read = asyncio.run(_tools(root).call("Read", {"file_path": "soft"}, context))
        assert "leads out of the workspace" in str(read.content)

    def test_other_processes_are_neither_seen_nor_reached(self, bash: Bash) -> None:
        told = str(bash(f"cat /proc/{os.getpid()}/environ /proc/{os.getpid()}/cmdline; kill -0 {os.getpid()}").content)
        assert "pytest" not in told
        assert str(bash("ls -d /proc/[0-9]* | wc -l").content) in ("3", "4", "5", "6")
        assert "the secret" not in str(bash("cat /proc/1/root/../outside/secret.txt; cat /proc/1/cwd/*").content)

    def test_the_read_only_system_cannot_be_made_writable(self, bash: Bash) -> None:
        remount = "mount -o remount,rw,bind / && touch /x"
        told = str(bash(f"{remount}; unshare -Urm sh -c '{remount}'; mknod d b 8 0").content)
        assert not Path("/x").exists()
        assert "[exit status" in told

    def test_there_is_no_network_unless_allowed(self, bash: Bash) -> None:
        look = "cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '"
        assert bash(look).content == "lo"
        ours = sorted(line.partition(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:])
        theirs = sorted(str(bash(look, {"network": True}).content).split())
        assert theirs == ours

    def test_what_is_made_readable_can_be_read_and_not_written(self, bash: Bash, root: Path) -> None:
        outside = root.parent / "outside"
        told = bash(f"cat {outside}/secret.txt; touch {outside}/x", {"readable": (outside,)}).content
        assert str(told).startswith("the secret\ntouch: cannot touch")

    def test_a_process_in_a_session_of_its_own_ends_too(self, bash: Bash) -> None:
        marker = f"6{os.getpid()}.25"
        assert bash(f"setsid -f sleep {marker}; echo done").content == "done"
        assert all(_gone(pid) for pid in _alive(marker))


def test_without_a_sandbox_bash_must_be_called_unsafe(
    root: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "unusable", _unusable)
    tools = WorkspaceTools(WorkspaceOptions(root, allow=frozenset({"Bash"})))
    outcome = asyncio.run(tools.call("Bash", {"command": "touch made"}, context))
    assert outcome.is_error
    assert "tools.workspace.unsafe = true" in str(outcome.content)
    assert not (root / "made").exists()
    with pytest.raises(ToolSourceError, match="install bubblewrap"):
        asyncio.run(tools.list())
