"""What a model sees of a file: numbered lines, an image, a notebook's cells."""

from __future__ import annotations

import base64
import codecs
import io
from typing import BinaryIO

import msgspec

from millstream.core.messages import MediaPart, ResultPart, TextPart
from millstream.tools.workspace.family import Stop, ToolFault, bounded

_LONGEST_LINE = 2000
_SAMPLE = 64 * 1024
_LARGEST_IMAGE = 3_750_000
"""Bytes; in base64 5 MB, which is what model APIs take (platform.claude.com/docs/en/build-with-claude/vision)."""
_LARGEST_NOTEBOOK = 50 * 1024 * 1024

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(data: bytes, *, whole: bool) -> str | None:
    """How text that begins with (or is, if ``whole``) ``data`` is encoded; None for what is no text.

    What is not UTF-8 and has no mark is taken for Latin-1, which gives every byte back when it is written again.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name
    if b"\0" in data[:8192]:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def read(
    file: BinaryIO, name: str, offset: int, limit: int, output_limit: int, stop: Stop
) -> str | tuple[ResultPart, ...]:
    """The file as ``limit`` numbered lines from ``offset`` (from 1), or as what else it is. Raises ``ToolFault``."""
    sample = file.read(_SAMPLE)
    media_type = _image_type(sample)
    if media_type is not None:
        return (_image(sample + file.read(_LARGEST_IMAGE + 1 - len(sample)), media_type, name),)
    if name.endswith(".ipynb"):
        return _notebook(sample + file.read(_LARGEST_NOTEBOOK), output_limit)
    if not sample:
        return "(The file is empty.)"
    encoding = encoding_of(sample, whole=len(sample) < _SAMPLE)
    if encoding is None:
        raise ToolFault(f"{name} is a binary file ({_size(file)} bytes), not text")
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="\n")
    try:
        return _numbered(text, encoding, offset, limit, output_limit, stop)
    finally:
        text.detach()


def _numbered(text: io.TextIOWrapper, encoding: str, offset: int, limit: int, output_limit: int, stop: Stop) -> str:
    lines: list[str] = []
    used = number = 0
    more = False
    while (line := _line(text)) is not None:
        number += 1
        if number < offset:
            if number % 10_000 == 0 and stop():
                raise ToolFault("stopped")
            continue
        entry = f"{number:6}→{line}"
        if len(lines) == limit or (lines and used + len(entry) > output_limit):
            more = True
            break
        lines.append(entry)
        used += len(entry) + 1
    if not lines:
        return f"(The file has only {number} lines.)"
    if more:
        lines.append(f"[cut here: the file goes on. Read it with offset {number} for more.]")
    if encoding == "latin-1":
        lines.append("[the file is not UTF-8; it was read as Latin-1]")
    return "\n".join(lines)


def _line(text: io.TextIOWrapper) -> str | None:
    """The next line without its end, cut if it is long; never holds more than a piece of it."""
    line = text.readline(_LONGEST_LINE + 2)
    if not line:
        return None
    if line.endswith("\n"):
        return line[:-1].removesuffix("\r")
    if len(line) <= _LONGEST_LINE:
        return line
    cut = len(line) - _LONGEST_LINE
    while (rest := text.readline(_SAMPLE)) and not rest.endswith("\n"):
        cut += len(rest)
    return f"{line[:_LONGEST_LINE]} [line cut: {cut + len(rest.removesuffix(chr(10)))} more characters]"


def _size(file: BinaryIO) -> int:
    return file.seek(0, io.SEEK_END)


def _image_type(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _image(data: bytes, media_type: str, name: str) -> MediaPart:
    if len(data) > _LARGEST_IMAGE:
        raise ToolFault(f"{name} is an image of more than {_LARGEST_IMAGE} bytes, which models do not take")
    return MediaPart(kind="image", media_type=media_type, data=base64.b64encode(data).decode(), name=name)


class _Output(msgspec.Struct):
    text: str | list[str] = ""
    data: dict[str, msgspec.Raw] = {}
    ename: str = ""
    evalue: str = ""


class _Cell(msgspec.Struct):
    cell_type: str
    source: str | list[str] = ""
    id: str = ""
    outputs: list[_Output] = []


class _Notebook(msgspec.Struct):
    """https://nbformat.readthedocs.io/en/latest/format_description.html"""

    cells: list[_Cell]


def _notebook(data: bytes, output_limit: int) -> tuple[ResultPart, ...]:
    try:
        cells = msgspec.json.decode(data, type=_Notebook).cells
    except msgspec.DecodeError as error:
        raise ToolFault(f"this is not a notebook of format 4: {error}") from error
    parts: list[ResultPart] = []
    text: list[str] = []
    for number, cell in enumerate(cells, 1):
        text.append(f'<cell number="{number}" id="{cell.id}" type="{cell.cell_type}">\n{_joined(cell.source)}\n</cell>')
        for output in cell.outputs:
            shown = _output(output)
            if isinstance(shown, str):
                text.append(f"<output>\n{bounded(shown, _LONGEST_LINE * 5, 'It is in the file.')}\n</output>")
            elif shown is not None:
                parts.append(shown)
    whole = bounded("\n".join(text) or "(The notebook has no cells.)", output_limit, "Use Grep, or Bash with jq.")
    return (TextPart(whole), *parts)


def _output(output: _Output) -> str | MediaPart | None:
    for media_type in ("image/png", "image/jpeg"):
        if media_type in output.data:
            image = _text_of(output.data[media_type]).replace("\n", "")
            return MediaPart(kind="image", media_type=media_type, data=image)
    if output.ename:
        return f"{output.ename}: {output.evalue}"
    if "text/plain" in output.data:
        return _text_of(output.data["text/plain"])
    return _joined(output.text) or None


def _text_of(raw: msgspec.Raw) -> str:
    return _joined(msgspec.json.decode(raw, type=str | list[str]))


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
