"""Content codings for streams: every write can be decoded as soon as it has come."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from millstream.server.runs.following import Encoder

_SMALL_WINDOW = 16
"""2 to this many bytes are looked back at: a stream's frames are alike, and thousands of streams are open at once."""


class Gzip:
    name = "gzip"

    def __init__(self) -> None:
        self._coder = zlib.compressobj(5, zlib.DEFLATED, 16 + 15)

    def encode(self, data: bytes) -> bytes:
        return self._coder.compress(data) + self._coder.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._coder.flush(zlib.Z_FINISH)


class Brotli:
    name = "br"

    def __init__(self) -> None:
        import brotli

        self._coder: Any = brotli.Compressor(quality=4, lgwin=_SMALL_WINDOW)

    def encode(self, data: bytes) -> bytes:
        return bytes(self._coder.process(data) + self._coder.flush())

    def end(self) -> bytes:
        return bytes(self._coder.finish())


class Zstandard:
    name = "zstd"

    def __init__(self) -> None:
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=_SMALL_WINDOW)
        self._coder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._block: int = zstandard.COMPRESSOBJ_FLUSH_BLOCK

    def encode(self, data: bytes) -> bytes:
        return self._coder.compress(data) + self._coder.flush(self._block)

    def end(self) -> bytes:
        return self._coder.flush()


def _codings() -> dict[str, Callable[[], Encoder]]:
    """The best first. Two of them are libraries of the extra ``compression``."""
    found: dict[str, Callable[[], Encoder]] = {}
    if find_spec("zstandard") is not None:
        found["zstd"] = Zstandard
    if find_spec("brotli") is not None:
        found["br"] = Brotli
    return {**found, "gzip": Gzip}


def choose(headers: Mapping[str, str]) -> Encoder | None:
    """The coding for who sent ``headers``, or None for none. Behind a proxy that says so (``via``) nothing is coded:
    some hold a coded stream back until they can decode a good piece of it."""
    wanted = headers.get("accept-encoding", "")
    if not wanted or "via" in headers:
        return None
    codings = _codings()
    weights = _weights(wanted)
    best = max(codings, key=lambda name: weights.get(name, 0.0))  # the first of equals
    if weights.get(best, 0.0) <= 0 or weights.get("identity", 0.0) > weights[best]:
        return None
    return codings[best]()


def _weights(header: str) -> dict[str, float]:
    """https://www.rfc-editor.org/rfc/rfc9110#name-accept-encoding. ``*`` is no wish for a coding in particular."""
    found: dict[str, float] = {}
    for item in header.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        found[name] = weight
    return found
