"""``millstream keys``: who may call a gateway."""

from __future__ import annotations

import secrets
import time
from enum import StrEnum
from typing import Annotated

import typer
from typer.exceptions import TyperException

from millstream.cli import options

EXAMPLE = """\b
Examples:
  millstream keys add ci
  millstream keys add ann --user ann --models 'groq/*' --budget 20
  millstream keys add app --requests-per-minute 60 --tokens-per-minute 100000
  millstream keys list
  millstream keys revoke ci

A gateway that runs takes a new key, and refuses a revoked one, within two seconds.
"""

app = typer.Typer(
    help="Make, list and revoke the keys that a gateway's clients show.", rich_markup_mode=None, no_args_is_help=True
)


class Period(StrEnum):
    """Of the calendar, in UTC."""

    DAY = "day"
    MONTH = "month"


@app.command(name="add", epilog=EXAMPLE)
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for lists and usage.")],
    user: Annotated[str | None, typer.Option(help="The one user that it may act for.")] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", metavar="PATTERN", help="Models it may use; can be repeated.")
    ] = None,
    requests: Annotated[int | None, typer.Option("--requests-per-minute", min=1, metavar="N")] = None,
    tokens: Annotated[int | None, typer.Option("--tokens-per-minute", min=1, metavar="N")] = None,
    budget: Annotated[float | None, typer.Option(min=0.000001, metavar="USD", help="For each period.")] = None,
    period: Annotated[Period, typer.Option(help="What the budget is for. [default: month]")] = Period.MONTH,
    days: Annotated[int | None, typer.Option("--days", min=1, max=36500, help="It ends after so many.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It sees everybody's usage, and the metrics.")] = False,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
) -> None:
    """Make a key, and print it: this once, for only its hash is kept."""
    import msgspec

    from millstream.cli.output import print_line
    from millstream.policy.keys import PREFIX, record_of
    from millstream.server.keyfile import changed_keys, keys_path

    key = PREFIX + secrets.token_urlsafe(32)
    now = time.time()
    try:
        record = record_of(key, name, now)
    except ValueError as error:
        raise TyperException(str(error)) from error
    tree = options.load(config, settings)
    with changed_keys(keys_path(tree)) as keys:
        if name in tree.auth.keys or any(known.name == name for known in keys):
            raise TyperException(f"there is a key {name} already; revoke it first, or choose another name")
        record = msgspec.structs.replace(
            record,
            user=user,
            models=tuple(models or ("*",)),
            requests_per_minute=requests,
            tokens_per_minute=tokens,
            budget=budget,
            period=period.value,
            admin=admin,
            expires=None if days is None else int(now) + days * 86400,
        )
        keys.append(record)
    print_line(key)


@app.command(name="list", epilog=EXAMPLE)
def list_keys(
    config: options.ConfigFile = None, settings: options.Settings = None, as_json: options.AsJson = False
) -> None:
    """List the keys, without what would let anybody in."""
    import msgspec

    from millstream.cli.output import print_json, print_line, print_table
    from millstream.policy.keys import moment
    from millstream.server.keyfile import keys_path, read_keys, settings_key

    tree = options.load(config, settings)
    path = keys_path(tree)
    found = read_keys(path)
    fixed = [settings_key(name, key, "", "(settings)") for name, key in tree.auth.keys.items()]
    shown = [*found, *fixed]
    if as_json:
        print_json([{k: v for k, v in msgspec.to_builtins(key).items() if k != "sha256"} for key in shown])
    elif not shown:
        print_line(f"no keys in {path}")
    else:
        print_table(
            ["name", "key", "user", "models", "limits", "made", "ends"],
            [
                [
                    key.name,
                    key.hint,
                    key.user or "",
                    " ".join(key.models),
                    limits_text(key),
                    moment(key.created or None),
                    _end(key.expires),
                ]
                for key in shown
            ],
        )


@app.command(name="revoke", epilog=EXAMPLE)
def revoke(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of keys.")],
    config: options.ConfigFile = None,
    settings: options.Settings = None,
) -> None:
    """Forget keys: whoever shows one is refused from then on."""
    from millstream.server.keyfile import changed_keys, keys_path

    with changed_keys(keys_path(options.load(config, settings))) as keys:
        missing = set(names) - {key.name for key in keys}
        if missing:
            raise TyperException(f"there is no key {', '.join(sorted(missing))} (millstream keys list)")
        keys[:] = [key for key in keys if key.name not in names]


def limits_text(key: object) -> str:
    """The limits of a ``KeyRecord`` in few words."""
    from millstream.policy.keys import KeyRecord

    assert isinstance(key, KeyRecord)  # noqa: S101  # its module is not loaded for `--help`
    said = [
        f"{key.requests_per_minute} requests/min" if key.requests_per_minute else "",
        f"{key.tokens_per_minute} tokens/min" if key.tokens_per_minute else "",
        f"${key.budget:g}/{key.period}" if key.budget else "",
        "admin" if key.admin else "",
    ]
    return ", ".join(part for part in said if part)


def _end(expires: int | None) -> str:
    from millstream.policy.keys import moment

    if expires is None:
        return ""
    return f"{moment(expires)} (ended)" if expires <= time.time() else moment(expires)
