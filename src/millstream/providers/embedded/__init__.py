"""Owns the model that millstream brings along: llama.cpp in a process of its own, reached like any other upstream.

Does not own where the default model's file comes from (``providers.model_file``) or what OpenAI Chat bytes mean.
"""

from millstream.providers.embedded.options import EmbeddedOptions
from millstream.providers.embedded.transport import EmbeddedTransport

__all__ = ["EmbeddedOptions", "EmbeddedTransport"]
