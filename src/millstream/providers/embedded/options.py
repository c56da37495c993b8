"""What may be chosen about the embedded model, and the sensible choice for each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_MODEL = "smollm2-135m-instruct"

_DEFAULT_CONTEXT = 8192
_MAX_DEFAULT_THREADS = 8


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """``model`` is a GGUF file; None is the default one, fetched if it is not here.

    ``context`` is in tokens and each slot has as much, since memory for it is taken at the start; None is what the
    model was trained for, up to 8192. ``slots`` answers are generated at once, ``queue`` further requests may wait.
    ``debug`` lets llama.cpp talk on standard error.
    """

    model: Path | None = None
    context: int | None = None
    threads: int | None = None
    slots: int = 4
    queue: int = 32
    debug: bool = False

    @property
    def name(self) -> str:
        """The model's name in replies."""
        return self.model.stem if self.model is not None else DEFAULT_MODEL

    def context_for(self, trained: int) -> int:
        return self.context if self.context is not None else min(trained, _DEFAULT_CONTEXT)

    @property
    def thread_count(self) -> int:
        """Half of the processors this process may use. Its threads meet after every step of every layer and spin until
        the last is there: with all processors two busy neighbours brought 120 tokens/s down to 3, with half of them
        a two-core machine does a steady 80."""
        if self.threads is not None:
            return self.threads
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(usable // 2, _MAX_DEFAULT_THREADS))
