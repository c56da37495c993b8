"""One number out of a GGUF file's header: the context length its model was trained with.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"GGUF"
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING = 8
_ARRAY = 9
_MAX_STRING = 64 * 1024 * 1024
_CONTEXT_KEY = ".context_length"


class NotGGUFError(Exception):
    """The file is no GGUF file, or its header does not say how long a context may be. One line that says which."""


def context_length(path: Path) -> int:
    """Tokens. Raises ``NotGGUFError`` or ``OSError``."""
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise NotGGUFError(f"{path} is not a GGUF file")
        try:
            found = _search(file)
        except (struct.error, KeyError, ValueError) as error:
            raise NotGGUFError(f"{path} is cut off or damaged") from error
    if found is None:
        raise NotGGUFError(f"{path} does not say its model's context length: is it a language model?")
    return found


def _search(file: BinaryIO) -> int | None:
    _version, _tensors, fields = struct.unpack("<IQQ", _exactly(file, 20))
    for _ in range(fields):
        key = _string(file)
        (kind,) = struct.unpack("<I", _exactly(file, 4))
        if key.endswith(_CONTEXT_KEY):
            return int.from_bytes(_exactly(file, _SIZES[kind]), "little")
        _skip(file, kind)
    return None


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _string(file)
    elif kind == _ARRAY:
        inner, count = struct.unpack("<IQ", _exactly(file, 12))
        if inner in _SIZES:
            file.seek(_SIZES[inner] * count, 1)
        else:
            for _ in range(count):
                _skip(file, inner)
    else:
        file.seek(_SIZES[kind], 1)


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _exactly(file, 8))
    if length > _MAX_STRING:
        raise ValueError("a string longer than any header holds")
    return _exactly(file, length).decode("utf-8", "replace")


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError("the file ends inside its header")
    return data
