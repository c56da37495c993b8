"""``millstream replay``: a recording or a scenario, on the screen or as an upstream."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from millstream.cli import options

EXAMPLE = """\b
Examples:
  millstream replay recording/response.sse
  millstream replay recording --speed 10
  millstream replay scenario.toml --as anthropic
  millstream replay scenario.toml --serve --port 9000
  millstream replay run_2f6c1d --speed 4
"""


_RUN = re.compile(r"run_[\w.:-]+")
"""How a gateway names its runs."""


class As(StrEnum):
    """In whose words."""

    ANTHROPIC = "anthropic"
    OPENAI_CHAT = "openai_chat"
    OPENAI_RESPONSES = "openai_responses"
    GEMINI = "gemini"


def replay(
    source: Annotated[
        Path, typer.Argument(metavar="FILE|RUN", help="Recording (a folder or .sse), scenario (.toml), or id of a run.")
    ],
    speed: Annotated[float, typer.Option(min=0.01, metavar="N", help="So many times as fast.")] = 1.0,
    dialect: Annotated[As | None, typer.Option("--as", help="Print the stream as this API sends it.")] = None,
    question: Annotated[str, typer.Option(metavar="TEXT", help="What a scenario is asked.")] = "Hello",
    plain: Annotated[
        bool, typer.Option("--plain", help="Text as it comes, without layout. [default in pipes]")
    ] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Answer requests of every API, until Ctrl-C.")] = False,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address for --serve.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Port for --serve; 0 takes a free one.")] = 0,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
) -> int:
    """Play a recording at its own pace: as text, as the bytes of an API, or as a server."""
    from millstream.cli import gateway, replaying
    from millstream.cli.known import known
    from millstream.config import ConfigError

    if serve and dialect is not None:
        raise ConfigError("--as: a server answers every request in the API it was made in; leave it out")
    if not source.exists() and _RUN.fullmatch(str(source)):
        if serve or dialect is not None:
            raise ConfigError("a run is played on the screen only: leave out --serve and --as")
        tree = options.load(config, settings)
        url = gateway.url_of(tree.server.host, tree.server.port)
        return replaying.show_run(url, known(tree, os.environ).server_key, str(source), speed, plain=plain)
    if serve:
        return replaying.serve(source, host, port, speed)
    if dialect is not None:
        return replaying.print_stream(source, dialect.value, question, speed)
    return replaying.show(source, question, speed, plain=plain)
