"""One line per request when it has ended: for people on a terminal, JSON otherwise. Never a key, never a prompt."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

logger = logging.getLogger("millstream")

_DIM, _BOLD, _GREEN, _YELLOW, _RED, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
_END_COLOURS = {"finished": _GREEN, "cancelled": _YELLOW, "failed": _RED}


class RequestLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of one request. Durations are in milliseconds; ``error`` is a fault's kind and message."""

    id: str
    client: str
    model: str
    upstream: str
    status: int
    end: Literal["finished", "cancelled", "failed"]
    duration_ms: int
    first_content_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    tries: int = 1
    dropped: tuple[str, ...] = ()
    switched: tuple[str, ...] = ()
    error: str | None = None


def configure(
    style: Literal["auto", "human", "json"], *, debug: bool, stream: TextIO | None = None, worker: int | None = None
) -> None:
    """Send the log to ``stream`` (standard error). ``auto`` writes for people if that is a terminal. Of several
    processes that write to the same place, ``worker`` is this one's number."""
    out = stream if stream is not None else sys.stderr
    human = style == "human" or (style == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(_Human(colour=out.isatty()) if human else _Json(worker))
    _spare_what_is_not_told()
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if debug else logging.INFO)


def _spare_what_is_not_told() -> None:
    """Half of what a record costs is to find out things about the caller that no line of ours has:
    https://docs.python.org/3/howto/logging.html#optimization."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def request(line: RequestLine, at: float) -> None:
    """``at``: when it ended, a Unix time."""
    level = logging.WARNING if line.end == "failed" else logging.INFO
    if logger.isEnabledFor(level):
        record = logger.makeRecord(logger.name, level, "", 0, "request", (), None, extra={"line": line})
        record.created = at
        logger.handle(record)


class _Json(logging.Formatter):
    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._who = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {"time": _time(record).isoformat(timespec="milliseconds"), "level": record.levelname}
        fields |= self._who
        line = getattr(record, "line", None)
        fields["event"] = record.getMessage()
        if line is not None:
            fields |= msgspec.structs.asdict(line)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


class _Human(logging.Formatter):
    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        line = getattr(record, "line", None)
        text = record.getMessage() if line is None else self._request(line)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{self._paint(_DIM, _time(record).astimezone().strftime('%H:%M:%S'))} {text}"

    def _request(self, line: RequestLine) -> str:
        told = [
            self._paint(_DIM, line.id[-6:]),
            f"{line.client} {self._paint(_BOLD, line.model)} → {line.upstream or 'nowhere'}",
            str(line.status),
            self._paint(_END_COLOURS[line.end], line.end),
        ]
        if line.first_content_ms is not None:
            told.append(f"first {line.first_content_ms} ms")
        told.append(f"{line.duration_ms / 1000:.1f} s")
        if line.output_tokens is not None:
            told.append(f"{line.input_tokens} in, {line.output_tokens} out")
        if line.tries > 1:
            told.append(f"{line.tries} tries")
        if line.switched:
            told.append(f"gone on with by {', '.join(line.switched)}")
        if line.dropped:
            told.append(f"without {', '.join(line.dropped)}")
        if line.error:
            told.append(line.error)
        return " · ".join(told)

    def _paint(self, code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if self._colour else text


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
