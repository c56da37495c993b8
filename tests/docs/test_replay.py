"""docs/replay.md says what is: its examples are read, and its words are those of a scenario file."""

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from millstream.providers.replay import scenario
from millstream.providers.replay.reading import ScenarioError, scenario_of

PAGE = (Path(__file__).parents[2] / "docs/replay.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_of_a_scenario_can_be_used() -> None:
    examples = blocks("toml")
    assert len(examples) == 2
    for example in examples:
        assert scenario_of(tomllib.loads(example), "docs").replies


def test_the_example_of_a_recordings_meta_is_json() -> None:
    (example,) = blocks("json")
    assert set(json.loads(example)) == {"dialect", "http_status", "response_headers", "event_ms"}


def test_the_example_of_a_mistake_is_what_is_said() -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario_of({"replies": [{"text": "a", "fault": {"kind": "cut", "aftr": 1}}]}, "demo.toml")
    assert f"`{caught.value}`" in PAGE


@pytest.mark.parametrize(
    "struct", [scenario.Scenario, scenario.ScriptedReply, scenario.When, scenario.Pace, scenario.Usage]
)
def test_every_key_is_described(struct: type[msgspec.Struct]) -> None:
    missing = [name for name in struct.__struct_encode_fields__ if not re.search(rf"`[^`]*\b{name}\b[^`]*`", PAGE)]
    assert missing == []


def test_every_fault_has_its_row_with_all_its_keys() -> None:
    for fault in scenario.AnyFault.__args__:
        tag = str(fault.__struct_config__.tag)
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{tag}` |"))
        assert [name for name in fault.__struct_encode_fields__ if name != "times" and f"`{name}`" not in row] == []
