"""Start and stop the process that llama.cpp runs in."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from importlib import resources
from typing import IO

import msgspec

from millstream.core.errors import Kind, UpstreamFault
from millstream.providers.embedded.child import Loaded, Settings
from millstream.providers.embedded.gguf import NotGGUFError, context_length
from millstream.providers.embedded.options import EmbeddedOptions
from millstream.providers.model_file import ModelFileError, ensure_model

_STOP_S = 1.0
_MAX_LOG = 16 * 1024


class LlamaProcess:
    """A loaded model. ``start`` and ``stop`` block, so an event loop runs them in a thread; ``stop`` also ends a
    ``start`` that is under way."""

    def __init__(self, options: EmbeddedOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self.address = ""
        """Where it answers, as a URL."""
        self.key = secrets.token_urlsafe(32)
        """What requests must show as their bearer token: other users of this machine can reach the port."""

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ended_within(self, seconds: float) -> bool:
        """Whether it ends in that time. A process that dies closes its connections a moment before it is gone."""
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def end(self) -> str:
        """How it ended, in words."""
        status = self._process.returncode if self._process is not None else None
        if status is None:
            return "it was stopped"
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def start(self) -> None:
        """Load the model. Raises ``UpstreamFault`` (UNREACHABLE, not retryable) that says why it cannot be."""
        settings = self._settings()
        debug = self._options.debug
        with tempfile.TemporaryFile() as log:
            command = [sys.executable, "-P", "-m", "millstream.providers.embedded.child"]
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None if debug else log
            )
            if self._stopped:
                self.stop()
            loaded = self._handshake(self._process, settings)
            if loaded is None or loaded.address is None or self._stopped:
                told = self._stopped
                self.stop()
                reason = "it was told to stop" if told else self._reason(loaded, log)
                raise _unusable(f"the embedded model {settings.model} could not be loaded: {reason}")
        self.address = loaded.address

    def _handshake(self, process: subprocess.Popen[bytes], settings: Settings) -> Loaded | None:
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            return None
        try:
            stdin.write(msgspec.json.encode(settings) + b"\n")
            stdin.flush()
            return msgspec.json.decode(stdout.readline(), type=Loaded)
        except (OSError, ValueError, msgspec.MsgspecError):  # it, or somebody, ended it
            return None

    def stop(self) -> None:
        """End it, within about a second."""
        self._stopped = True
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _settings(self) -> Settings:
        options = self._options
        try:
            path = options.model if options.model is not None else ensure_model()
            trained = context_length(path)
        except (ModelFileError, NotGGUFError) as error:
            raise _unusable(str(error)) from error
        except OSError as error:
            message = f"the embedded model {error.filename} cannot be read: {error.strerror}"
            raise _unusable(message) from error
        return Settings(
            model=str(path),
            name=options.name,
            key=self.key,
            context=options.context_for(trained),
            slots=options.slots,
            threads=options.thread_count,
            template=tool_template() if options.model is None else None,
            debug=options.debug,
        )

    def _reason(self, loaded: Loaded | None, log: IO[bytes]) -> str:
        """llama.cpp's first complaint, which the others only repeat; else what we know ourselves."""
        log.seek(0)
        for line in log.read(_MAX_LOG).decode(errors="replace").splitlines():
            _, error, message = line.partition(" E ")
            if error:
                return message.strip()
        if loaded is not None and loaded.error is not None:
            return loaded.error
        return f"its process ended ({self.end})"


def tool_template() -> str:
    """The default model's chat format, with words for tools added: its own template ignores them."""
    return resources.files("millstream.providers.embedded").joinpath("smollm2.jinja").read_text(encoding="utf-8")


def _unusable(message: str) -> UpstreamFault:
    return UpstreamFault(message, Kind.UNREACHABLE, retryable=False)
