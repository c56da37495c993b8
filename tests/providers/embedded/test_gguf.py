import struct
from pathlib import Path

import pytest

from millstream.providers.embedded.gguf import NotGGUFError, context_length

UINT32, STRING, ARRAY, UINT64 = 4, 8, 9, 10


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def header(*fields: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(fields)) + b"".join(fields)


NAME = string("general.name") + struct.pack("<I", STRING) + string("tiny")
WORDS = string("tokens") + struct.pack("<IIQ", ARRAY, STRING, 2) + string("a") + string("bc")
SCORES = string("scores") + struct.pack("<IIQ", ARRAY, UINT32, 2) + bytes(8)
SIZE = string("size") + struct.pack("<IQ", UINT64, 5)
CONTEXT = string("llama.context_length") + struct.pack("<II", UINT32, 4096)


def test_the_context_length_is_found_behind_fields_of_any_kind(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(header(NAME, WORDS, SCORES, SIZE, CONTEXT))
    assert context_length(path) == 4096


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "is not a GGUF file"),
        (header(NAME, CONTEXT)[:60], "cut off or damaged"),
        (header(string("x") + struct.pack("<I", 99)), "cut off or damaged"),
        (header(struct.pack("<Q", 2**60)), "cut off or damaged"),
        (header(NAME), "does not say its model's context length"),
    ],
)
def test_a_file_that_is_no_model_is_named_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(NotGGUFError, match=said) as caught:
        context_length(path)
    assert str(path) in str(caught.value)
