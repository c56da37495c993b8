import json
from pathlib import Path
from typing import Any

import pytest

from millstream.providers.replay.reading import ScenarioError, read_scenario, scenario_of
from millstream.providers.replay.scenario import CutFault, Pace, StallFault, StatusFault

FULL = """
description = "everything at once"
model = "m"
pace = { first_ms = 5, per_second = 50 }
pieces = "random:3"

[[replies]]
when = { tool = "Bash", last_role = "user", turn = 1 }
times = 1
text = "Let me look."
tool_calls = [{ name = "Bash", arguments = { command = "ls" } }, { name = "Read", arguments = '{"broken' }]
usage = { input_tokens = 5, reasoning_tokens = 1 }
fault = { kind = "status", status = 429, retry_after = 1, times = 2 }

[[replies]]
raw = "data: x\\n\\n"
[[replies.fault]]
kind = "stall"
after = 1
seconds = 0.5
[[replies.fault]]
kind = "cut"
bytes = 9
"""


def test_a_file_with_every_part_is_read(tmp_path: Path) -> None:
    path = tmp_path / "full.toml"
    path.write_text(FULL)
    scenario = read_scenario(path)
    first, second = scenario.replies
    assert scenario.pace == Pace(first_ms=5, per_second=50)
    assert scenario.pace.gap == 0.02
    assert first.faults == (StatusFault(status=429, retry_after=1, times=2),)
    assert first.tool_calls[1].arguments == '{"broken'
    assert second.faults == (StallFault(after=1, seconds=0.5), CutFault(bytes=9))


def test_the_same_may_be_written_in_json(tmp_path: Path) -> None:
    path = tmp_path / "hello.json"
    path.write_text(json.dumps({"replies": [{"text": "hi"}]}))
    assert read_scenario(path).replies[0].text == "hi"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"txt": "a"}, "replies[0].txt is not a key here; did you mean text?"),
        ({"text": 1}, "replies[0].text: expected `str | null`, got `int`"),
        ({"text": "a", "times": 0}, "replies[0].times: expected `int` >= 1"),
        ({"text": "a", "pieces": "fast"}, 'replies[0]: pieces "fast" is not one of "events", "whole", "bytes:7" and'),
        ({"text": "a", "raw": "x"}, "replies[0]: a reply has both raw and text: give one of"),
        ({}, "replies[0]: a reply has nothing to say: give text,"),
        ({"text": "a", "when": {"last_rol": "tool"}}, "replies[0].when.last_rol is not a key here; did you mean"),
        ({"text": "a", "when": {"last_role": "toll"}}, "when.last_role: 'toll' is none of its values; did you mean"),
        ({"text": "a", "fault": {"kind": "cutt"}}, "replies[0].fault.kind: no kind 'cutt'; did you mean cut?"),
        ({"text": "a", "fault": [{"kind": "cutt"}]}, "replies[0].fault[0].kind: no kind 'cutt'; did you mean cut?"),
        ({"text": "a", "fault": {"kind": "cut", "aftr": 1}}, "replies[0].fault.aftr is not a key here; did you"),
        ({"text": "a", "fault": {"kind": "cut", "seconds": 1}}, "fault.seconds is not a key here; known here: after"),
        ({"text": "a", "fault": {"kind": "cut"}}, "replies[0].fault: give either after (events) or bytes"),
        ({"text": "a", "fault": {"after": 1}}, "replies[0].fault.kind is missing"),
        ({"text": "a", "fault": {"kind": "status", "times": 1, "status": 200}}, "fault.status: expected `int` >= 400"),
        ({"text": "a", "pace": {"event_ms": 1, "recorded": True}}, "replies[0].pace: give one of event_ms, per_second"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_and_key_with_the_fix(reply: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario_of({"replies": [reply]}, "demo.toml")
    assert str(caught.value).startswith("demo.toml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_alone_needs_nothing_to_say() -> None:
    scenario = scenario_of({"replies": [{"fault": {"kind": "refuse"}}]}, "x")
    assert scenario.replies[0].text is None
    with pytest.raises(ScenarioError, match="nothing to say"):
        scenario_of({"replies": [{"fault": {"kind": "refuse", "times": 1}}]}, "x")


@pytest.mark.parametrize(
    ("tree", "said"),
    [({}, "replies is missing"), ({"replies": []}, "length >= 1"), ({"reply": []}, "did you mean replies?")],
)
def test_a_file_without_replies_is_refused(tree: object, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario_of(tree, "demo.toml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", b"x = [", "not valid TOML"),
        ("a.json", b"{", "not valid JSON"),
        ("a.toml", b"\xff", "it is not UTF-8"),
        ("b.toml", None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ScenarioError, match=said) as caught:
        read_scenario(tmp_path / name)
    assert name in str(caught.value)
