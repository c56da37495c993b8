"""A prompt that is too long, in any provider's words → in Anthropic's, which make Claude Code compact or ask for less.

Claude Code 2.1.329 looks for ``prompt is too long: A tokens > B maximum`` (then it compacts the conversation) and for
``input length and `max_tokens` exceed context limit: A + B > C`` (then it lowers ``max_tokens``).
"""

from __future__ import annotations

import re

_RECOGNISED = re.compile(
    r"prompt is too long|input is too long|context[ _](?:length|window|limit|size)|maximum prompt length"
    r"|exceeds? (?:the )?(?:maximum|model'?s?) (?:number of tokens|token limit|context)|too many (?:input )?tokens"
    r"|reduce the length of the (?:messages|prompt|input)|exceeded model token limit",
    re.IGNORECASE,
)
_OURS = re.compile(r"prompt is too long|input length and `max_tokens` exceed context limit", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])\d{1,3}(?:,\d{3})+(?![\w])|(?<![\w.])\d+(?![\w])")
_LIMIT = re.compile(
    r"(?:(?:context|prompt) (?:length|window|size|limit)|token limit|maximum|allowed|limit|limited to|model with|>)"
    r"(?: (?:is|of|to|tokens|number|context|length))*[ :(]+([\d,]{3,})",
    re.IGNORECASE,
)
_SPLITS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\((?P<prompt>[\d,]+)(?: tokens)? (?:in the messages|of text input)[^)\d]*[, ;]+(?P<answer>[\d,]+)",
        r"requested (?P<answer>[\d,]+) output tokens and your prompt contains (?:at least )?(?P<prompt>[\d,]+)",
        r"too large: (?P<answer>[\d,]+)\..*request has (?P<prompt>[\d,]+) input tokens",
    )
)
"""How OpenAI and OpenRouter, vLLM of late, and vLLM before tell the prompt from the answer that was asked for."""


def is_context_length(message: str) -> bool:
    """Whether an error's text says that the prompt does not fit into the model's context."""
    return _RECOGNISED.search(message) is not None


def worded(message: str) -> str:
    """``message`` as Anthropic would say it; with its numbers if they can be told apart."""
    if _OURS.search(message):
        return message
    limit = _limit_in(message)
    split = next(filter(None, (pattern.search(message) for pattern in _SPLITS)), None)
    if split is not None:
        prompt = _number(split["prompt"])
        answer = _number(split["answer"])
    else:
        prompt = max((_number(found) for found in _NUMBER.findall(message)), default=0)
        answer = 0
    if limit is None or prompt + answer <= limit:
        return f"prompt is too long: {message}"
    if prompt <= limit:
        advice = "decrease input length or `max_tokens` and try again"
        return f"input length and `max_tokens` exceed context limit: {prompt} + {answer} > {limit}, {advice}"
    return f"prompt is too long: {prompt} tokens > {limit} maximum"


def _limit_in(message: str) -> int | None:
    found = _LIMIT.search(message)
    if found is not None:
        return _number(found[1])
    numbers = sorted({_number(number) for number in _NUMBER.findall(message)})
    return numbers[0] if len(numbers) == 2 else None


def _number(digits: str) -> int:
    return int(digits.replace(",", ""))
