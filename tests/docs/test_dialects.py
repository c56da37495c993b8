"""``docs/dialects.md`` says what the gateway does: each line of its tables is tried out, and no line is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from features.replies import REPLIES, heard
from features.table import NAMES, Sample, Samples, check, upstreams
from sdk_types import fields, generation_fields, kinds

PAGE = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text(encoding="utf-8")
SAMPLES: dict[str, Samples] = {name: import_module(f"features.{name}").SAMPLES for name in NAMES}
_IN_BACKTICKS = re.compile(r"`([^`]+)`")


def sections() -> dict[str, str]:
    """Title → text of the page's parts."""
    found = [part.partition("\n") for part in PAGE.split("\n## ")[1:]]
    return {title: text for title, _, text in found}


def rows(text: str) -> Iterator[list[str]]:
    """Cells of a table's lines, without its head."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0]:
            yield cells


def written(client: str) -> dict[str, list[list[str]]]:
    """Title of a group → the rows of its table."""
    groups = sections()[f"From a client of {NAMES[client]}"].split("\n### ")[1:]
    return {title: list(rows(text)) for title, _, text in (group.partition("\n") for group in groups)}


def lines() -> Iterator[Any]:
    for client, samples in SAMPLES.items():
        for group, found in written(client).items():
            for name, *cells in found:
                sample = samples.get(group, {}).get(name)
                yield pytest.param(client, sample, cells, id=f"{client}-{group}-{name}")


@pytest.mark.parametrize("client", NAMES)
def test_the_tables_have_a_line_for_each_sample_and_no_other(client: str) -> None:
    found = {group: [cells[0] for cells in table] for group, table in written(client).items()}
    assert found == {group: list(samples) for group, samples in SAMPLES[client].items()}


@pytest.mark.parametrize(("client", "sample", "cells"), list(lines()))
def test_a_line_says_what_happens(client: str, sample: Sample | None, cells: list[str]) -> None:
    assert sample is not None, "there is no sample of this name"
    wrong: dict[str, str] = {}
    for upstream, cell in zip(upstreams(client), cells, strict=True):
        try:
            check(client, sample, upstream, cell)
        except AssertionError as error:
            wrong[upstream] = str(error)
    assert not wrong


@pytest.mark.parametrize(("name", "cells"), [(name, cells) for name, *cells in rows(PAGE.split("\n## ")[-1])])
def test_a_line_about_replies_says_what_is_heard(name: str, cells: list[str]) -> None:
    events, mark = REPLIES[name]
    for client, cell in zip(NAMES, cells, strict=True):
        stream = heard(client, events)
        assert all(words in stream for words in _IN_BACKTICKS.findall(cell)), (client, cell, stream)
        assert "encoded" in cell or (mark in stream) != cell.startswith("lost"), (client, cell, stream)


def test_the_table_about_replies_has_a_line_for_each_sample_and_no_other() -> None:
    assert [cells[0] for cells in rows(PAGE.split("\n## ")[-1])] == list(REPLIES)


@pytest.mark.parametrize("client", NAMES)
def test_every_field_that_the_sdk_knows_has_a_line(client: str) -> None:
    said = {name for samples in SAMPLES[client].values() for having, _ in samples.values() for name in having}
    missing = fields(client) - said - STATE
    # What every sample has, if only because a request cannot do without.
    assert missing - {"messages", "contents", "input"} == set()


STATE = frozenset({"background", "cachedContent", "conversation", "previous_response_id", "prompt"})
"""Fields that the page names in its introduction: they are seen to before anything is translated."""


def test_every_field_of_geminis_configuration_has_a_line() -> None:
    configs = [
        having.get("generationConfig", {}) for samples in SAMPLES["gemini"].values() for having, _ in samples.values()
    ]
    assert generation_fields() - {name for config in configs for name in config} == set()


@pytest.mark.parametrize("client", NAMES)
def test_every_kind_of_content_and_of_tool_that_the_sdk_knows_has_a_line(client: str) -> None:
    named = set(_IN_BACKTICKS.findall(sections()[f"From a client of {NAMES[client]}"]))
    named |= {word for words in named for word in re.split(r"[:,. ]+", words)}
    families = {words.removesuffix("…") for words in named if words.endswith("…")}
    unnamed = {kind for kind in kinds(client) if kind not in named and not kind.startswith(tuple(families) or "\0")}
    assert unnamed == set()
