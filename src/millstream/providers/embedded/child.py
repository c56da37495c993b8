"""The process that llama.cpp runs in. Started by ``process.py``, as ``python -m millstream.providers.embedded.child``.

It reads one line of JSON (``Settings``) from standard input, loads the model, writes one line of JSON (``Loaded``) to
standard output, serves HTTP on a free port of 127.0.0.1, and ends as soon as its standard input does, whatever it is
doing: so it never outlives the gateway, even one that is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import msgspec

_PROMPT_BATCH = 128
"""Prompt tokens read between two looks at what else there is to do: cancelled requests, other slots. Larger ones
were no faster on two cores."""

_ERRORS_ONLY = 1
_EVERYTHING = 3


class Settings(msgspec.Struct):
    """``context`` is per slot. ``key`` is what callers must show."""

    model: str
    name: str
    key: str
    context: int
    slots: int
    threads: int
    template: str | None = None
    debug: bool = False


class Loaded(msgspec.Struct, omit_defaults=True):
    """``address`` is where it answers, as a URL; without one, ``error`` says why not."""

    address: str | None = None
    error: str | None = None


def main() -> None:
    # Ctrl-C at a terminal reaches this process too; the gateway decides when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    answers = os.dup(1)
    os.dup2(2, 1)
    server, loaded = _load(settings)
    os.write(answers, msgspec.json.encode(loaded) + b"\n")
    if not settings.debug:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if server is not None:
        while sys.stdin.buffer.read(4096):
            pass
    os._exit(0)  # llama.cpp's own end waits for a prompt that is being read, which can take half a minute


def _load(settings: Settings) -> tuple[Any, Loaded]:
    try:
        import xllamacpp
    except ImportError as error:
        fix = "pip install 'millstream[embedded]'"
        return None, Loaded(error=f"llama.cpp cannot be loaded ({error}): {fix}")
    try:
        server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), settings))
    except Exception as error:
        return None, Loaded(error=str(error))
    return server, Loaded(address=server.listening_address)


def _parameters(params: Any, settings: Settings) -> Any:
    params.model.path = settings.model
    params.model_alias = {settings.name}
    params.n_parallel = settings.slots
    params.n_ctx = settings.context * settings.slots
    params.n_batch = _PROMPT_BATCH
    params.fit_params = False
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    params.verbosity = _EVERYTHING if settings.debug else _ERRORS_ONLY
    params.api_keys = [settings.key]
    params.ui = False
    params.cors_origins = ""
    params.sse_ping_interval = -1
    if settings.template is not None:
        params.chat_template = settings.template
    # For requests that say nothing of their own. A model this small falls into loops without them.
    params.sampling.temp = 0.4
    params.sampling.top_p = 0.9
    params.sampling.penalty_repeat = 1.1
    return params


if __name__ == "__main__":
    main()
