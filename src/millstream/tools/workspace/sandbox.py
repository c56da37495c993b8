"""Bubblewrap: what a command may see and change.

Bash gets the machine read-only without people's home directories, a writable workspace, its own processes and no
network; ripgrep only the workspace and its libraries. https://github.com/containers/bubblewrap
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

_ALONE = ("--unshare-all", "--die-with-parent", "--cap-drop", "ALL")
# Keys, mail and tokens of people, and sockets of services (a container engine's gives away the machine).
_HIDDEN = (
    "/home",
    "/root",
    "/run",
    "/var/run",
    "/Users",
    "/mnt",
    "/media",
    "/srv",
    "/var/lib",
    "/var/spool",
    "/etc/ssh",
)
_UNREADABLE = ("/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-")  # the gateway may run as root
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache")
_PROBE_LIMIT = 10.0
_known: list[str | None] = []


def bash_sandbox(root: Path, *, network: bool, readable: Sequence[Path] = ()) -> list[str]:
    """The words that go before a command for it to run in the sandbox, with ``root`` writable."""
    words = ["bwrap", *_ALONE, *(["--share-net"] if network else [])]
    words += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp"]  # noqa: S108 - inside the sandbox
    home = str(Path.home())
    for path in _UNREADABLE:
        if Path(path).is_file():
            words += ["--ro-bind", "/dev/null", path]
    for path in dict.fromkeys((*_HIDDEN, home)):
        if path != "/" and Path(path).is_dir() and not Path(path).is_symlink():
            words += ["--tmpfs", path]
    if network:
        for path in _resolver():
            words += ["--ro-bind-try", path, path]
    for place in readable:
        words += ["--ro-bind-try", str(place), str(place)]
    return [*words, "--bind", str(root), str(root), "--setenv", "HOME", "/tmp", "--"]  # noqa: S108 - inside the sandbox


def search_sandbox(root: Path, program: str, below: Path) -> list[str]:
    """The words that go before ``program`` for it to see nothing but ``root``, read-only, working in ``below``."""
    words = ["bwrap", *_ALONE]
    for path in _SYSTEM:
        words += ["--ro-bind-try", path, path]
    words += ["--ro-bind", program, program, "--ro-bind", str(root), str(root)]
    return [*words, "--chdir", str(below), "--"]


def _resolver() -> list[str]:
    """What looks up names, where it is a link into a directory that is hidden."""
    real = os.path.realpath("/etc/resolv.conf")
    return [real] if real != "/etc/resolv.conf" else []


async def unusable() -> str | None:
    """Why bubblewrap cannot be used here, or None. Tried once for each process, with a real sandbox."""
    if shutil.which("bwrap") is None:
        return "bubblewrap (bwrap) is not installed"
    if not _known:
        words = bash_sandbox(Path("/usr"), network=False)
        process = await asyncio.create_subprocess_exec(
            *words, "/bin/sh", "-c", "exit 0", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(_PROBE_LIMIT):
                _, errors = await process.communicate()
        except TimeoutError:
            errors = b"it does not end"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        _known.append(None if process.returncode == 0 else _reason(errors))
    return _known[0]


def _reason(errors: bytes) -> str:
    said = errors.decode(errors="replace").strip().splitlines()
    return f"bubblewrap does not work here ({said[-1] if said else 'it says nothing'})"
