"""Runs one program and lets nothing of it outlive the gateway, however that ends. Started as a script, never imported.

``guard.py FD COMMAND ARG…``: FD is the reading end of a pipe whose other end only the gateway holds. When it closes,
also by SIGKILL or a crash, the whole process group is ended. The program has our standard streams to itself; its exit
status becomes ours. Standard library only, since it starts with ``-I -S``.
"""

import os
import select
import signal
import sys
import time

GRACE_S = 2.0


def main() -> int:
    life = int(sys.argv[1])
    os.set_inheritable(life, False)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a handler, unlike SIG_IGN, is not inherited by the program
    try:
        child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
    except OSError as error:
        sys.stderr.write(f"{sys.argv[2]}: {error.strerror}\n")
        return 127
    _let_go_of_streams()
    while True:
        ready, _, _ = select.select([life, woken], [], [])
        if woken in ready:
            os.read(woken, 64)
            status = _ended(child)
            if status is not None:
                return status
        if life in ready:
            _end_group(child)


def _let_go_of_streams() -> None:
    """The program's pipes must close when the program does."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _ended(child: int) -> int | None:
    found, status = os.waitpid(child, os.WNOHANG)
    if not found:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _end_group(child: int) -> None:
    os.killpg(0, signal.SIGTERM)
    end = time.monotonic() + GRACE_S
    while _ended(child) is None and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
