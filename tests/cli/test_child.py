"""A program run in our place keeps its terminal, signals and exit status: tried with real processes and a real pty."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress

import pytest

from millstream.cli import child

LIMIT = 20.0


def _in_between(script: str) -> list[str]:
    """A command that runs the Python ``script`` through ``child.run`` and ends with its status."""
    return [
        sys.executable,
        "-c",
        f"""
import os, sys
from millstream.cli import child
sys.exit(child.run([sys.executable, "-c", {script!r}], os.environ))
""",
    ]


def _python(script: str) -> Sequence[str]:
    return [sys.executable, "-c", script]


def test_the_exit_status_is_kept() -> None:
    assert child.run(_python("raise SystemExit(7)"), os.environ) == 7


def test_death_by_a_signal_is_told_as_shells_tell_it() -> None:
    assert child.run(_python("import os; os.kill(os.getpid(), 9)"), os.environ) == 128 + signal.SIGKILL


def test_a_program_that_cannot_be_run_is_an_os_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        child.run(["/nowhere/agent"], os.environ)


def test_the_environment_is_the_one_given() -> None:
    script = "import os, sys; sys.exit(0 if os.environ.get('COLOUR') == 'green' and 'HOME' not in os.environ else 1)"
    assert child.run(_python(script), {"COLOUR": "green", "PATH": os.environ["PATH"]}) == 0


def test_input_and_output_are_its_own() -> None:
    echo = "import sys; sys.stdout.write(sys.stdin.read().upper())"
    done = subprocess.run(_in_between(echo), input=b"quiet", capture_output=True, timeout=LIMIT, check=True)
    assert done.stdout == b"QUIET"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_termination_is_passed_on_and_the_answer_to_it_kept(number: signal.Signals) -> None:
    script = f"""
import signal, sys
signal.signal({int(number)}, lambda *_: sys.exit(33))
print("ready", flush=True)
signal.pause()
"""
    with subprocess.Popen(_in_between(script), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(LIMIT) == 33


def test_an_interrupt_does_not_end_us_before_the_child() -> None:
    script = "import sys; print('ready', flush=True); sys.stdin.readline(); sys.exit(5)"
    with subprocess.Popen(_in_between(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(LIMIT) == 5


def test_the_child_does_not_inherit_a_deaf_ear_for_interrupts() -> None:
    script = "import signal, sys; sys.exit(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    assert child.run(_python(script), os.environ) == 0


def test_our_own_signal_handlers_are_back_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)]
    child.run(_python(""), os.environ)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)] == before


def test_a_program_does_not_outlive_us_even_if_we_are_killed() -> None:
    script = "import signal; print('ready', flush=True); signal.pause()"
    with subprocess.Popen(_in_between(script), stdout=subprocess.PIPE, process_group=0) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        try:
            ended, _, _ = select.select([process.stdout], [], [], LIMIT)  # the program had it open, too
            assert ended
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_what_ended_with_us_is_not_looked_after_any_more() -> None:
    done = subprocess.run(
        _in_between("import os; print(os.getpgrp())"), capture_output=True, process_group=0, check=True
    )
    with pytest.raises(ProcessLookupError):
        os.killpg(int(done.stdout), 0)


class _Terminal:
    """A process on a pseudo-terminal of its own, as a shell would run it."""

    def __init__(self, command: list[str]) -> None:
        self._seen = b""
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)

    def expect(self, text: bytes) -> None:
        """Reads up to and with ``text``."""
        while text not in self._seen:
            self._seen += os.read(self._master, 1024)
        self._seen = self._seen.partition(text)[2]

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    @property
    def modes(self) -> list[object]:
        return termios.tcgetattr(self._master)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        return status

    def close(self) -> None:
        os.close(self._master)


def test_ctrl_c_at_the_terminal_reaches_the_child() -> None:
    script = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(9))
print("ready", flush=True)
signal.pause()
"""
    terminal = _Terminal(_in_between(script))
    terminal.expect(b"ready")
    terminal.type(b"\x03")
    assert os.waitstatus_to_exitcode(terminal.wait()) == 9
    terminal.close()


def test_a_new_size_of_the_terminal_reaches_the_child() -> None:
    script = """
import os, signal, sys
signal.signal(signal.SIGWINCH, lambda *_: sys.exit(os.get_terminal_size(0).columns))
print("ready", flush=True)
signal.pause()
"""
    terminal = _Terminal(_in_between(script))
    terminal.expect(b"ready")
    terminal.resize(24, 61)
    assert os.waitstatus_to_exitcode(terminal.wait()) == 61
    terminal.close()


def test_a_child_that_is_killed_leaves_the_terminal_as_it_was() -> None:
    script = """
import os, signal, sys, tty
tty.setraw(0)
print("raw", flush=True)
os.read(0, 1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    # Who opened the terminal lives on a little, so that there still is one to look at.
    outer = "import subprocess, sys; print(subprocess.call(sys.argv[1:]), 'over', flush=True); sys.stdin.readline()"
    terminal = _Terminal([sys.executable, "-c", outer, *_in_between(script)])
    before = terminal.modes
    terminal.expect(b"raw")
    assert terminal.modes != before
    terminal.type(b"x")
    terminal.expect(b"137 over")
    assert terminal.modes == before
    terminal.type(b"\n")
    assert terminal.wait() == 0
    terminal.close()


SHELL = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
_, status = os.waitpid(job, os.WUNTRACED)
assert os.WIFSTOPPED(status)
os.tcsetpgrp(0, os.getpgrp())
os.tcsetpgrp(0, job)
os.killpg(job, signal.SIGCONT)
_, status = os.waitpid(job, os.WUNTRACED)
assert not os.WIFSTOPPED(status), "stopped twice for one Ctrl-Z"
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""What a shell does with a job that is stopped and then called back by ``fg``."""


@pytest.mark.parametrize("how", ["by itself", "by the keyboard"])
def test_a_child_that_stops_gives_the_terminal_back_and_goes_on_with_us(how: str) -> None:
    stop = "os.kill(os.getpid(), signal.SIGSTOP)" if how == "by itself" else "signal.pause()"
    script = f"""
import os, signal, sys
signal.signal(signal.SIGCONT, lambda *_: sys.exit(4))
print("ready", flush=True)
{stop}
"""
    terminal = _Terminal([sys.executable, "-c", SHELL, *_in_between(script)])
    terminal.expect(b"ready")
    if how == "by the keyboard":
        terminal.type(b"\x1a")
    assert os.waitstatus_to_exitcode(terminal.wait()) == 4
    terminal.close()
