"""A path stays in the workspace, whatever it goes through."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.tools.workspace.confine import PathRefused, Workspace


def _read(root: Path, path: str) -> bytes:
    return Workspace(root).read_file(path, 1000)[0]


@pytest.fixture
def furnished(root: Path) -> Path:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("inside")
    return root


@pytest.mark.parametrize("path", ["a/b/file", "./a//b/./file", "a/b/../b/file", "a/../a/b/file"])
def test_paths_below_the_root_are_found(furnished: Path, path: str) -> None:
    assert _read(furnished, path) == b"inside"
    assert _read(furnished, f"{furnished}/{path}") == b"inside"


@pytest.mark.parametrize("target", ["b/file", "../a/b/file", "b/../b/file"])
def test_links_within_the_workspace_are_followed(furnished: Path, target: str) -> None:
    (furnished / "a/link").symlink_to(target)
    assert _read(furnished, "a/link") == b"inside"


def test_an_absolute_link_into_the_workspace_is_followed(furnished: Path) -> None:
    (furnished / "link").symlink_to(furnished / "a")
    assert _read(furnished, "link/b/file") == b"inside"
    assert Workspace(furnished).real_directory("link/b") == ("a", "b")


def test_a_root_that_is_a_link_is_known_by_both_its_names(furnished: Path) -> None:
    named = furnished.parent / "named"
    named.symlink_to(furnished)
    assert _read(named, f"{named}/a/b/file") == b"inside"
    assert _read(named, f"{furnished}/a/b/file") == b"inside"


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.txt",
        "a/../../outside/secret.txt",
        "a/b/../../../outside/secret.txt",
        "/etc/passwd",
        "/proc/self/root/etc/passwd",
        "/proc/self/cwd",
        "..",
        "a\0b",
    ],
)
def test_paths_that_lead_out_are_refused(furnished: Path, path: str) -> None:
    with pytest.raises(PathRefused):
        _read(furnished, path)
    with pytest.raises(PathRefused):
        Workspace(furnished).write_file(path, b"written")
    assert (furnished.parent / "outside/secret.txt").read_text() == "the secret\n"


def test_a_neighbour_whose_name_begins_like_the_root_is_outside(furnished: Path) -> None:
    neighbour = Path(f"{furnished}-2")
    neighbour.mkdir()
    (neighbour / "file").write_text("no")
    with pytest.raises(PathRefused, match="outside the workspace"):
        _read(furnished, str(neighbour / "file"))


@pytest.mark.parametrize("target", ["../outside", "/proc/self/root", "../workspace/../outside", "/"])
def test_links_that_lead_out_are_refused(furnished: Path, target: str) -> None:
    (furnished / "link").symlink_to(target)
    (furnished / "second").symlink_to("link")
    for path in ("link/secret.txt", "second/secret.txt", "link", "a/../link/secret.txt"):
        with pytest.raises(PathRefused):
            _read(furnished, path)
        with pytest.raises(PathRefused):
            Workspace(furnished).write_file(f"{path}/new", b"written")
    assert [entry.name for entry in (furnished.parent / "outside").iterdir()] == ["secret.txt"]


def test_a_link_is_written_through_only_within_the_workspace(furnished: Path) -> None:
    (furnished / "in").symlink_to("a/b/file")
    (furnished / "out").symlink_to("../outside/secret.txt")
    (furnished / "dangling").symlink_to("../outside/new.txt")
    workspace = Workspace(furnished)
    assert workspace.write_file("in", b"changed") is True
    assert (furnished / "in").is_symlink()
    assert (furnished / "a/b/file").read_bytes() == b"changed"
    for path in ("out", "dangling"):
        with pytest.raises(PathRefused):
            workspace.write_file(path, b"written")
    assert [entry.name for entry in (furnished.parent / "outside").iterdir()] == ["secret.txt"]


def test_links_in_a_circle_end(furnished: Path) -> None:
    (furnished / "one").symlink_to("two")
    (furnished / "two").symlink_to("one")
    with pytest.raises(PathRefused, match="too many symbolic links"):
        _read(furnished, "one")


def test_writing_a_file_with_another_name_outside_leaves_that_one_alone(furnished: Path) -> None:
    secret = furnished.parent / "outside/secret.txt"
    os.link(secret, furnished / "hard")
    Workspace(furnished).write_file("hard", b"changed")
    assert secret.read_text() == "the secret\n"
    assert (furnished / "hard").read_bytes() == b"changed"


def test_pipes_and_directories_are_no_files(furnished: Path) -> None:
    os.mkfifo(furnished / "pipe")
    for path, kind in (("pipe", "a pipe"), ("a", "a directory")):
        with pytest.raises(PathRefused, match=kind):
            _read(furnished, path)
        with pytest.raises(PathRefused, match=kind):
            Workspace(furnished).write_file(path, b"")


def test_a_file_keeps_its_mode_and_nothing_is_left_beside_it(furnished: Path) -> None:
    script = furnished / "script"
    script.write_text("old")
    script.chmod(0o750)
    Workspace(furnished).write_file("script", b"new")
    assert script.stat().st_mode & 0o777 == 0o750
    assert {entry.name for entry in furnished.iterdir()} == {"a", "script"}


def test_a_file_that_changed_since_it_was_seen_is_not_replaced(furnished: Path) -> None:
    workspace = Workspace(furnished)
    _, seen = workspace.read_file("a/b/file", 1000)
    (furnished / "a/b/file").write_text("of someone else")
    with pytest.raises(PathRefused, match="changed by something else"):
        workspace.write_file("a/b/file", b"mine", seen=seen)
    assert (furnished / "a/b/file").read_text() == "of someone else"


def test_no_descriptor_is_left_open(furnished: Path) -> None:
    (furnished / "out").symlink_to("/etc")
    workspace = Workspace(furnished)
    before = len([*Path("/dev/fd").iterdir()])
    for path in ("a/b/file", "out/passwd", "missing/file", "a/b/file/x", "a"):
        for use in (lambda: workspace.read_file(path, 1000), lambda: workspace.write_file(f"{path}/x", b"")):  # noqa: B023 - used at once
            try:
                use()
            except (PathRefused, OSError):
                continue
    assert len([*Path("/dev/fd").iterdir()]) == before


def test_swapping_a_directory_for_a_link_never_gives_what_is_outside(furnished: Path) -> None:
    """The race that checking a path before opening it loses."""
    (furnished / "door").mkdir()
    (furnished / "door/secret.txt").write_text("harmless")
    (furnished / "trap").symlink_to("../outside")
    swapping = subprocess.Popen([sys.executable, "-IS", "-c", SWAP], cwd=furnished)
    try:
        _race(Workspace(furnished))
    finally:
        swapping.kill()
        swapping.wait()
    assert (furnished.parent / "outside/secret.txt").read_text() == "the secret\n"
    assert [entry.name for entry in (furnished.parent / "outside").iterdir()] == ["secret.txt"]


SWAP = """
import ctypes
exchange, here = 2, -100  # linux/fs.h, fcntl.h: two names change places in one step
while ctypes.CDLL(None).renameat2(here, b"door", here, b"trap", exchange) == 0:
    pass
"""


def _race(workspace: Workspace) -> None:
    """Until each outcome was met often enough to say that the race was run."""
    read = refused = 0
    for _ in range(100_000):
        try:
            data, seen = workspace.read_file("door/secret.txt", 1000)
            assert data == b"harmless"
            workspace.write_file("door/secret.txt", b"harmless", seen=seen)
            read += 1
        except PathRefused:
            refused += 1
        except FileNotFoundError:
            continue
        if read >= 20 and refused >= 20:
            return
    pytest.fail(f"the race was not run: {read} reads, {refused} refusals")
