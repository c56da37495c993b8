from pathlib import Path

import pytest

from millstream.providers.replay.library import Library, UnknownNameError, load
from millstream.providers.replay.reading import ScenarioError

SHIPPED = ["hello", "tools"]


def test_what_ships_with_millstream_needs_no_folder() -> None:
    library = Library(None)
    assert library.names() == SHIPPED
    for name in SHIPPED:
        assert library.find(name).scenario.replies


def test_a_folders_scenarios_and_recordings_are_found_by_name(shelf: Path) -> None:
    library = Library(shelf)
    text = library.find("greet").scenario.replies[0].text
    assert text == "Hello there"
    assert library.find("greet.toml").scenario.replies[0].text == text
    assert library.find("deep/inner").scenario.replies[0].text == "inner"
    assert library.find("alone").scenario.replies[0].file == "alone.sse"
    found = library.find("recordings/recorded")
    assert (found.folder / (found.scenario.replies[0].file or "")).is_dir()


def test_every_name_is_listed_once(shelf: Path) -> None:
    named = ["alone", "broken", "greet", "recordings/recorded", "recordings/refused", "recordings/whole"]
    assert Library(shelf).names() == sorted([*named, *SHIPPED, "deep/inner"])


def test_a_folders_own_hello_comes_before_the_shipped_one(shelf: Path) -> None:
    (shelf / "hello.toml").write_text('[[replies]]\ntext = "mine"\n')
    assert Library(shelf).find("hello").scenario.replies[0].text == "mine"


@pytest.mark.parametrize("name", ["../secret", "deep/../../secret", "/etc/passwd", "link", "x\0y", "a" * 5000, "", "."])
def test_a_name_leads_nowhere_outside_the_folder(shelf: Path, name: str) -> None:
    inside = shelf / "inside"
    inside.mkdir()
    (shelf / "secret.toml").write_text('[[replies]]\ntext = "secret"\n')
    (inside / "link.toml").symlink_to(shelf / "secret.toml")
    with pytest.raises(UnknownNameError):
        Library(inside).find(name)


def test_an_unknown_name_is_told_the_near_ones(shelf: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no scenario or recording 'greeet' in .*near it: greet"):
        Library(shelf).find("greeet")
    with pytest.raises(UnknownNameError, match=r"replay.folder is not set.*there are: hello, tools"):
        Library(None).find("xyz")


def test_a_changed_file_is_read_again(shelf: Path) -> None:
    library = Library(shelf)
    first = library.find("greet")
    assert library.find("greet") is first
    (shelf / "greet.toml").write_text('[[replies]]\ntext = "Changed by hand"\n')
    assert library.find("greet").scenario.replies[0].text == "Changed by hand"


def test_a_file_that_cannot_be_used_says_why(shelf: Path) -> None:
    with pytest.raises(ScenarioError, match="txt is not a key here"):
        Library(shelf).find("broken")
    (shelf / "notes.txt").write_text("")
    with pytest.raises(ScenarioError, match="neither a scenario"):
        load(shelf / "notes.txt")
