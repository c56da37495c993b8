"""What each family of models adds to a prompt, by the model's name: the parts of its template that no request shows.

Measured on recorded requests with their true usage (``tests/core/test_tokens.py`` measures again). The text itself is
cut much alike by all of them; what differs is what comes around it, and how tools are written down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Family:
    """All counts are tokens."""

    names: str
    """Regular expression that finds a model's name, in lower case and without the names of its owners."""

    request: int = 36
    """Once per request: begin marks, a hidden system prompt."""

    message: int = 5
    """Per message: role and end marks."""

    scale: float = 1.1
    """Times what ``tokens.text_tokens`` counts."""

    tools: int = 180
    """Once, as soon as there are tools: the instructions how to call one."""

    tool: int = 20
    """Per tool, besides its own words."""

    declared: bool = False
    """Tools are written as type declarations, which leaves out most of JSON's punctuation."""

    call: int = 14
    """Per tool call and per result in the history."""

    thinking: int = 0
    """Once, where the model is told to think, and not just a little."""

    image: int = 4800
    """The most that one image takes."""

    frame: int = 0
    """Per image, besides its squares."""

    tile: float = 1.05
    """Per square of ``side`` pixels that an image has."""

    side: int = 28

    digits: int = 3
    """How many digits of a number are one token: three, or each its own."""

    sealed: float = 0.0
    """Per character of encrypted reasoning that is given back."""


_GPT = Family(
    r"gpt-|^o[134]|chatgpt|codex", 4, 4, 1.02, 18, 4, True, 11, frame=85, tile=170, side=512, image=2500, sealed=0.07
)

FAMILIES: tuple[Family, ...] = (
    Family(r"claude-(3|(opus|sonnet)-4(-[012])?([-@]\d{8})?$)", 5, 4, 1.22, 375, 6, image=1600),
    Family(r"claude-(haiku|sonnet|opus)-4[-.][56]", 5, 4, 1.22, 550, 8, thinking=32, image=1600),
    Family(r"claude", 5, 4, 1.5, 560, 8),
    Family(r"gpt-oss", 66, 4, 1.05, 26, 10, declared=True, call=6),
    replace(_GPT, names=r"gpt-4o-mini", frame=2833, tile=5667, image=48_169),
    replace(_GPT, names=r"gpt-.*mini|o4-mini", frame=0, tile=1.62, side=32, image=2489),
    replace(_GPT, names=r"gpt-.*nano", frame=0, tile=2.46, side=32, image=3779),
    _GPT,
    Family(r"gemini-[12]", 2, 1, 1.05, 4, 4, image=1600, tile=258, side=768, digits=1),
    Family(r"gemini", 2, 1, 1.05, 6, 12, image=1600, tile=258, side=768, digits=1),
    Family(r"deepseek", 4, 2, 1.1, 240, 12, thinking=80),
    Family(r"qwen3[.-]5|qwen3-next|qwen3\.[5-9]", 8, 4, 1.12, 235, 8, image=16_384, digits=1),
    Family(r"qwen", 8, 4, 1.1, 100, 8, image=16_384, digits=1),
    Family(r"llama-?v?3[.p][1-9]|llama-?4", 33, 4, 1.1, 175, 8),
    Family(r"llama", 6, 4, 1.1, 175, 8),
    Family(r"kimi", 4, 4, 1.05, 8, 26, call=15),
    Family(r"glm", 6, 4, 1.1, 115, 6),
    Family(
        r"mistral|ministral|magistral|codestral|devstral|voxtral|pixtral",
        3,
        3,
        1.1,
        18,
        16,
        thinking=16,
        frame=16,
        digits=1,
    ),
    Family(r"grok-code", 200, 4, 1.05, 135, 6, sealed=0.2),
    Family(r"grok-.*fast", 200, 4, 1.05, 110, 6, sealed=0.2),
    Family(r"grok", 200, 4, 1.05, 35, 6, sealed=0.2),
)
"""The first whose name is found counts."""

UNKNOWN = Family("")
"""Errs higher, by as much as the longest usual template of an open model."""


def family_of(model: str) -> Family:
    name = model.rpartition("/")[2].lower()
    return next((family for family in FAMILIES if re.search(family.names, name)), UNKNOWN)
