"""Files of the user's that commands write: whole or not at all, and private where they are ours."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from typer.exceptions import TyperException

_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


def write(path: Path, text: str) -> None:
    """Replaces the content of ``path``, through a link if it is one, and keeps its mode; a new file, and new folders
    above it, are the user's alone. Raises ``TyperException`` where that cannot be done, with all as it was."""
    try:
        target = path.resolve()
        _make_folder(target.parent)
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else _PRIVATE_FILE
        _replace(target, text.encode("utf-8", "surrogateescape"), mode)
    except OSError as error:
        raise TyperException(f"cannot write {path}: {error.strerror or error}") from error


def why_not_writable(path: Path) -> str | None:
    """What stands in the way of ``write``, as far as it can be seen without writing; None where nothing does."""
    folder = next(above for above in path.absolute().parents if above.exists())
    if not folder.is_dir():
        return os.strerror(errno.ENOTDIR)
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    return os.strerror(errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES)


def write_secret(path: Path, text: str) -> None:
    """As ``write``; the file and its folder are then the user's alone, whatever they were."""
    try:
        target = path.resolve()
        _make_folder(target.parent)
        target.parent.chmod(_PRIVATE_FOLDER)
        _replace(target, text.encode(), _PRIVATE_FILE)
    except OSError as error:
        raise TyperException(f"cannot write {path}: {error.strerror or error}") from error


def _make_folder(folder: Path) -> None:
    for missing in reversed([above for above in (folder, *folder.parents) if not above.exists()]):
        missing.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)


def _replace(target: Path, content: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
