"""Upstreams of all four dialects, each saying the same blocks in its own words, written by hand and without our code.

A test that is given a ``Speaker`` is the same for every upstream. What the upstream was asked is read back as ``Told``.
"""

from speakers.anthropic import Anthropic
from speakers.base import CACHED, INPUT, OUTPUT, Asked, Block, Said, Speaker, Thought, Told
from speakers.gemini import Gemini
from speakers.openai_chat import Chat
from speakers.openai_responses import Responses

SPEAKERS: tuple[type[Speaker], ...] = (Anthropic, Chat, Responses, Gemini)

__all__ = ["CACHED", "INPUT", "OUTPUT", "SPEAKERS", "Asked", "Block", "Said", "Speaker", "Thought", "Told"]
