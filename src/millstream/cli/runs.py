"""``millstream runs``: what a gateway that runs keeps of its runs."""

from __future__ import annotations

import http.client
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from millstream.cli import options

if TYPE_CHECKING:
    from millstream.config import Config

EXAMPLE = """\b
Examples:
  millstream runs list
  millstream runs show run_4f1c0d2a9b
  millstream runs rm run_4f1c0d2a9b
"""

app = typer.Typer(
    help="List, read or forget the runs of a gateway that is running.", rich_markup_mode=None, no_args_is_help=True
)
Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The gateway. [default: where the settings say it listens]")
]
_TIMEOUT_S = 30.0


@app.command(name="list", epilog=EXAMPLE)
def list_runs(
    url: Url = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """List the runs that are kept, the newest first."""
    from millstream.cli.output import print_json, print_line, print_table

    found = _ask("GET", f"/api/v1/runs?limit={limit}", url, options.load(config, settings))["runs"]
    if as_json:
        print_json(found)
    elif not found:
        print_line("no runs are kept")
    else:
        rows = [
            [run["id"], run["state"], run["created"], run["model"], run["surface"], str(run["events"])] for run in found
        ]
        print_table(["run", "state", "began", "model", "came by", "events"], rows)


@app.command(name="show", epilog=EXAMPLE)
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    url: Url = None,
    events: Annotated[bool, typer.Option("--events", help="Every event, as JSON lines.")] = False,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what is known of a run, and what it has said so far."""
    from millstream.cli.output import print_json, print_line

    tree = options.load(config, settings)
    path = f"/api/v1/runs/{_quoted(run)}"
    about = _ask("GET", path, url, tree)
    if as_json:
        print_json(about)
        return
    if not events:
        for name, value in about.items():
            if value is not None:
                print_line(f"{name.replace('_', ' ')}: {value}")
        print_line("")
    after = about["first_event"] - 1
    while after < about["events"]:
        lines = _fetch("GET", f"{path}/events?after={after}", url, tree).splitlines()
        if not lines:
            break
        after += len(lines)
        for line in lines:
            if events:
                print_line(line.decode())
            else:
                _say(line)
    if not events:
        print_line("")


@app.command(name="rm", epilog=EXAMPLE)
def remove(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")],
    url: Url = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
) -> None:
    """Forget runs. One that is under way is cancelled."""
    tree = options.load(config, settings)
    for run in runs:
        _ask("DELETE", f"/api/v1/runs/{_quoted(run)}", url, tree)


def _say(line: bytes) -> None:
    """The text of an event. A model's words must not steer the terminal."""
    import msgspec

    event = msgspec.json.decode(line)
    text = event.get("text", "") if event["type"] == "TextDelta" else ""
    if event["type"] == "Fault":
        text = f"\n[{event['kind']}: {event['message']}]"
    sys.stdout.write("".join(char for char in text if char.isprintable() or char in "\n\t"))


def _quoted(run: str) -> str:
    from urllib.parse import quote

    return quote(run, safe="")


def _ask(method: str, path: str, url: str | None, config: Config) -> Any:
    import msgspec

    return msgspec.json.decode(_fetch(method, path, url, config))


def _fetch(method: str, path: str, url: str | None, config: Config) -> bytes:
    """Raises ``TyperException`` with what the gateway says is wrong."""
    from urllib.parse import urlsplit

    import msgspec

    from millstream.cli.gateway import url_of
    from millstream.server.settings import server_key

    base = (url or url_of(config.server.host, config.server.port)).rstrip("/")
    parts = urlsplit(base)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_TIMEOUT_S)
    key = server_key(config, os.environ)
    try:
        connection.request(method, parts.path + path, headers={"authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TyperException(f"no gateway answers at {base} ({reason}); start one with: millstream serve") from error
    finally:
        connection.close()
    if answer.status == 200:
        return data
    try:
        message = msgspec.json.decode(data)["message"]
    except (msgspec.MsgspecError, KeyError, TypeError):
        message = f"it answers {answer.status} {answer.reason}"
    raise TyperException(f"{base}: {message}")
