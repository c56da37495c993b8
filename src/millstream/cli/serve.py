"""``millstream serve``: the gateway in the foreground, and a greeting that says what to do with it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import threading
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millstream.cli import completing, options

if TYPE_CHECKING:
    from millstream.cli.known import Known
    from millstream.config import Config

EXAMPLE = """\b
Examples:
  millstream serve
  millstream serve --port 9000 --default-model groq/openai/gpt-oss-120b
  millstream serve --config gateway.toml --set server.heartbeat=5
  millstream serve --config gateway.toml --workers 4
"""


class UnknownModel(StrEnum):
    """What becomes of a request for a model that no route has."""

    ERROR = "error"
    DEFAULT = "default"


DefaultModel = Annotated[
    str | None,
    typer.Option(
        "--default-model",
        metavar="MODEL",
        help="Model where a client names none of ours.",
        autocompletion=completing.model,
    ),
]


def serve(
    config: options.ConfigFile = None,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="Port; 0 takes a free one. [default: 8090]")] = None,
    default_model: DefaultModel = None,
    unknown_model: Annotated[
        UnknownModel | None,
        typer.Option(help="For unknown model names: a 404, or the default model. [default: error]"),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, max=256, metavar="N", help="Processes that serve side by side; SIGHUP reloads settings."),
    ] = 1,
    settings: options.Settings = None,
    address_only: Annotated[
        bool, typer.Option("--address-only", help="Print the address alone, once requests are taken (for scripts).")
    ] = False,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="Also stop when standard input closes (for parent programs).")
    ] = False,
) -> int:
    """Start the gateway and serve until Ctrl-C."""
    if workers == 1:
        gc.disable()  # until it serves (``run.spare_collector``): to look through what stays takes a tenth of the start
    from millstream.cli import gateway
    from millstream.cli.known import known
    from millstream.server import run, supervisor
    from millstream.server.credentials import credentials_required

    def load() -> Config:
        return options.load(
            config,
            settings,
            server__host=host,
            server__port=port,
            default_model=default_model,
            unknown_model=unknown_model,
        )

    tree = load()
    names = known(tree, os.environ)
    if workers == 1:  # several have no embedded model
        _prepare(tree, names)
    if until_eof:
        threading.Thread(target=_stop_at_eof, daemon=True).start()

    def ready(address: str) -> None:
        if address_only:
            _say(f"{address}\n")
        else:
            taken = int(address.rpartition(":")[2])
            _greet(gateway.url_of(tree.server.host, taken), names, needs_key=credentials_required(tree, os.environ))

    if workers > 1:
        return supervisor.supervise(load, os.environ, workers, ready)
    return run.serve(tree, os.environ, ready)


def _prepare(tree: Config, names: Known) -> None:
    from millstream.cli import embedded

    try:
        embedded.prepare(tree, names, names.routes.default)
    except embedded.ModelMissing as error:
        # Other providers' models can be asked for by name all the same.
        sys.stderr.write(f"millstream: {error.message}\n")


def _stop_at_eof() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _greet(url: str, names: Known, *, needs_key: bool) -> None:
    """The address and three things to try, each ready to be pasted."""
    from millstream import __version__
    from millstream.cli import embedded

    model = names.routes.default
    told = [("millstream ", "bold"), (f"{__version__}  ", ""), (url, "bold cyan"), ("  default model ", "")]
    told.append((f"{model}\n", "green"))
    for title, lines in _things_to_try(url, model, needs_key=needs_key, small=embedded.is_default(names)):
        told.append((f"\n{title}\n", "dim"))
        told.append(("".join(f"  {line}\n" for line in lines), ""))
    told.append(("\nCtrl-C stops it.\n", "dim"))
    _say(_painted(told) if sys.stdout.isatty() else "".join(text for text, _ in told))


def _painted(told: list[tuple[str, str]]) -> str:
    """For a terminal. In a pipe what paints is not even loaded: a process that serves would keep its 3 MB."""
    from rich.text import Text

    from millstream.cli.output import console

    out = console()
    with out.capture() as painted:
        out.print(Text.assemble(*told), soft_wrap=True, end="")
    return painted.get()


def _say(text: str) -> None:
    """To standard output. That nobody reads it is no reason to stop serving."""
    with suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()


def _own_name() -> str:
    """How to call this program from here."""
    script = Path(sys.argv[0])
    if script.name != "millstream":
        return f"{sys.executable} -m millstream"
    on_path = shutil.which("millstream")
    return "millstream" if on_path is not None and script.samefile(on_path) else str(script)


def _things_to_try(url: str, model: str, *, needs_key: bool, small: bool) -> list[tuple[str, list[str]]]:
    curl = [f"curl -N {url}/v1/messages \\", "  -H 'content-type: application/json' \\"]
    if needs_key:
        curl.append('  -H "x-api-key: $GATEWAY_KEY" \\')
    curl += [
        f'  -d \'{{"model": "{model}", "max_tokens": 200, "stream": true,',
        '       "messages": [{"role": "user", "content": "Tell me about rivers."}]}\'',
    ]
    key = 'os.environ["GATEWAY_KEY"]' if needs_key else '"none"'
    sdk = [
        *(["import os"] if needs_key else []),
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{url}/v1", api_key={key})',
        "for chunk in client.chat.completions.create(",
        f'    model="{model}", stream=True,',
        '    messages=[{"role": "user", "content": "Tell me about rivers."}],',
        "):",
        '    print(chunk.choices[0].delta.content or "", end="", flush=True)',
    ]
    agent_needs = " (set a provider's key first: the embedded model is too small for it)" if small else ""
    return [
        ("Watch tokens arrive:", curl),
        ("From Python, with the stock SDK (pip install openai):", sdk),
        (f"Claude Code through millstream{agent_needs}:", [f"{_own_name()} launch claude"]),
    ]
