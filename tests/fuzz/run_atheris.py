"""One coverage-guided run: ``python run_atheris.py TARGET [libFuzzer's options] [folder of inputs]``.

A process of its own, since atheris rewrites the bytecode of what it imports and never returns.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

with atheris.instrument_imports(include=["millstream.core", "millstream.dialects"]):
    from fuzzing import TARGETS

MEMORY = 1024 * 1024 * 1024
"""Of address space. What libFuzzer would limit is the peak of this process and of the one that started it."""

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()
