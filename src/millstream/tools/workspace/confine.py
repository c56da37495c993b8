"""Paths that cannot leave the workspace, however its links change while one looks.

A path is walked component by component from an open root, each step relative to the directory already held and never
through a symbolic link; links are read and walked in the same way (as ``openat2`` does with ``RESOLVE_BENEATH``). What
comes out is a directory's descriptor and a name in it, so nothing that is renamed afterwards can redirect the use.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAX_LINKS = 40
_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class PathRefused(Exception):
    """A path that may not or cannot be used; the message is for the model."""


@dataclass(frozen=True, slots=True)
class Place:
    """``name`` in the directory ``parent`` (a descriptor); ``parts`` is its real path below the root.

    The entry itself may not exist, but is no symbolic link when it was looked at.
    """

    parent: int
    name: str
    parts: tuple[str, ...]


class Workspace:
    """The files below ``root``. Every method may block; all may be called from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self._given = Path.cwd() / root  # as it was written, with its links

    def show(self, parts: tuple[str, ...]) -> str:
        """The absolute path as the model is told it."""
        return str(self.root.joinpath(*parts))

    @contextlib.contextmanager
    def place(self, path: str, *, create_parents: bool = False) -> Iterator[Place]:
        """Where ``path`` (absolute, or relative to the root) really is: all its links followed.

        Raises ``PathRefused`` if it leads out of the workspace, through too many links or through what is no directory,
        ``FileNotFoundError`` if a directory on the way is missing.
        """
        walk = _Walk(self, create_parents)
        try:
            yield walk.to(path)
        finally:
            walk.close()

    def open_file(self, path: str) -> tuple[int, os.stat_result, tuple[str, ...]]:
        """A descriptor of the regular file at ``path`` for reading, its state, and its real path below the root."""
        with self.place(path) as place:
            fd, state = self._open_regular(place, path)
            return fd, state, place.parts

    def read_file(self, path: str, limit: int) -> tuple[bytes, os.stat_result]:
        """Raises ``PathRefused`` if it is longer than ``limit`` bytes."""
        fd, state, _ = self.open_file(path)
        with os.fdopen(fd, "rb") as file:
            if state.st_size > limit:
                raise PathRefused(f"{path} has {state.st_size} bytes; more than {limit} cannot be taken at once")
            data = file.read(limit + 1)
        if len(data) > limit:
            raise PathRefused(f"{path} has more than {limit} bytes")
        return data, state

    def real_directory(self, path: str) -> tuple[str, ...]:
        """The real path below the root of the directory at ``path``."""
        with self.place(path) as place:
            os.close(self.open_directory(place, path))
            return place.parts

    @staticmethod
    def open_directory(place: Place, path: str) -> int:
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(place.name, flags, dir_fd=place.parent)
        except NotADirectoryError as error:
            raise PathRefused(f"{path} is not a directory") from error
        except OSError as error:
            raise _swapped(error, path) from error

    def write_file(self, path: str, data: bytes, *, seen: os.stat_result | None = None) -> bool:
        """Puts ``data`` at ``path`` in one step: a reader sees the old or the new file. Makes directories.

        A file that is there keeps its mode and owner; other names of it (hard links) keep the old content. ``seen``:
        the file must still be in this state. Returns whether there was a file. Raises ``PathRefused``.
        """
        with self.place(path, create_parents=True) as place:
            old = _state(place)
            if old is not None and not stat.S_ISREG(old.st_mode):
                raise PathRefused(f"{path} is {_kind(old.st_mode)}, not a file")
            if seen is not None and (old is None or _version(old) != _version(seen)):
                raise PathRefused(f"{path} was changed by something else just now; read it again")
            temporary = f".{place.name[:100]}.{secrets.token_hex(6)}.tmp"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o666, dir_fd=place.parent)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                    if old is not None:
                        _keep_owner(fd, old)
                os.replace(temporary, place.name, src_dir_fd=place.parent, dst_dir_fd=place.parent)
            except BaseException:
                os.unlink(temporary, dir_fd=place.parent)
                raise
            return old is not None

    @staticmethod
    def _open_regular(place: Place, path: str) -> tuple[int, os.stat_result]:
        # Non-blocking: opening a pipe would wait for its other end.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(place.name, flags, dir_fd=place.parent)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _swapped(error, path) from error
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            os.close(fd)
            raise PathRefused(f"{path} is {_kind(state.st_mode)}, not a file")
        return fd, state

    def below_root(self, path: str) -> list[str]:
        """The components of ``path`` after the root. Raises ``PathRefused`` for an absolute path of elsewhere."""
        if "\0" in path:
            raise PathRefused("a path cannot contain a NUL character")
        if not path.startswith("/"):
            return path.split("/")
        for root in (str(self.root), str(self._given)):
            if path == root or path.startswith(root.rstrip("/") + "/"):
                return path[len(root) :].split("/")
        raise PathRefused(f"{path} is outside the workspace {self.root}")


class _Walk:
    def __init__(self, workspace: Workspace, create: bool) -> None:
        self._workspace = workspace
        self._create = create
        self._held: list[tuple[int, str]] = []
        self._root = os.open(workspace.root, _STEP)

    def to(self, path: str) -> Place:
        todo = [part for part in reversed(self._workspace.below_root(path)) if part not in ("", ".")]
        links = 0
        while todo:
            name = todo.pop()
            if name == "..":
                if not self._held:
                    raise PathRefused(f"{path} leads out of the workspace {self._workspace.root}")
                os.close(self._held.pop()[0])
                continue
            target = self._link(name)
            if target is not None:
                links += 1
                if links > _MAX_LINKS:
                    raise PathRefused(f"{path} goes through too many symbolic links")
                todo += self._followed(target, path)
            elif todo:
                self._held.append((self._step(name, path), name))
            else:
                return Place(self._here(), name, (*self._names(), name))
        return Place(self._here(), ".", self._names())

    def _followed(self, target: str, path: str) -> list[str]:
        """The components a link stands for, last first."""
        if target.startswith("/"):
            try:
                parts = self._workspace.below_root(target)
            except PathRefused as error:
                raise PathRefused(f"{path} leads out of the workspace {self._workspace.root}") from error
            self._let_go()
        else:
            parts = target.split("/")
        return [part for part in reversed(parts) if part not in ("", ".")]

    def _here(self) -> int:
        return self._held[-1][0] if self._held else self._root

    def _names(self) -> tuple[str, ...]:
        return tuple(name for _, name in self._held)

    def _link(self, name: str) -> str | None:
        try:
            return os.readlink(name, dir_fd=self._here())
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise PathRefused(f"{name}: {error.strerror}") from error

    def _step(self, name: str, path: str) -> int:
        if self._create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=self._here())
        try:
            return os.open(name, _STEP, dir_fd=self._here())
        except FileNotFoundError:
            raise
        except NotADirectoryError as error:
            raise PathRefused(f"{path}: {name} is not a directory") from error
        except OSError as error:
            raise _swapped(error, path) from error

    def _let_go(self) -> None:
        while self._held:
            os.close(self._held.pop()[0])

    def close(self) -> None:
        self._let_go()
        os.close(self._root)


def _state(place: Place) -> os.stat_result | None:
    try:
        return os.stat(place.name, dir_fd=place.parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _version(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_ino, state.st_mtime_ns, state.st_size


def _keep_owner(fd: int, old: os.stat_result) -> None:
    with contextlib.suppress(PermissionError):
        os.fchown(fd, old.st_uid, old.st_gid)
    os.fchmod(fd, stat.S_IMODE(old.st_mode) & 0o777)


def _swapped(error: OSError, path: str) -> PathRefused:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return PathRefused(f"{path} became a symbolic link while it was being opened")
    return PathRefused(f"{path}: {error.strerror}")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a symbolic link" if stat.S_ISLNK(mode) else "a device"
