"""The questions of ``setup``, each of which its option answers: which provider, which key, which model."""

from __future__ import annotations

import http.client
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
import typer
from rich.text import Text

from millstream.cli import asking, choosing, keys, set_key
from millstream.cli.checks import masked
from millstream.cli.offers import Offer, context_text, price_text
from millstream.cli.output import console, print_table, print_text
from millstream.cli.setup.wishes import Wishes, environment_key
from millstream.config import ConfigError
from millstream.providers.catalog import Provider

SKIP = "skip"
_LIST_LIMIT_S = 3.0
_LISTED = 20
_FAVOURITE = "groq"


@dataclass(frozen=True, slots=True)
class Key:
    """``value`` None where the provider needs none; ``keep`` where it is to be stored."""

    value: str | None
    keep: bool = False


def choose_provider(offered: Sequence[Offer], wishes: Wishes, providers: Mapping[str, Provider]) -> Provider | None:
    """None for a step that was skipped."""
    if wishes.provider is not None:
        return choosing.named(providers, wishes.provider)
    if not wishes.asks:
        return None
    _heading("Where shall the models come from?")
    print_table(
        ["   provider", "speed", "context", "$ per million", "key"],
        [[f"{number:>2} {offer.name}", *_line(offer)] for number, offer in enumerate(offered, 1)],
    )
    names = [offer.name for offer in offered]
    ready = next((each.name for each in offered if each.provider.key is not None), _FAVOURITE)
    name = asking.choose("Number or name, or skip", [*names, SKIP], ready)
    return None if name == SKIP else providers[name]


def _line(offer: Offer) -> list[str | Text]:
    if offer.provider.kind == "embedded":
        key, speed = Text("not needed: tiny, to try it", style="dim"), ""
    elif offer.provider.key is not None:
        key, speed = Text(masked(offer.provider.key, offer.provider.key_prefix), style="green"), offer.speed or ""
    elif offer.key_url is not None:
        key, speed = Text(urlsplit(offer.key_url).netloc, style="dim"), offer.speed or ""
    elif offer.provider.local:
        key, speed = Text("not needed", style="dim"), ""
    else:
        key, speed = Text(offer.provider.key_env or "", style="dim"), ""
    return [speed, context_text(offer.context), price_text(offer.prices), key]


def choose_key(provider: Provider, key_url: str | None, wishes: Wishes) -> Key | None:
    """None for a step that was skipped, and with it the provider's. Raises ``BadParameter``."""
    if provider.key_env is None:
        return Key(provider.key)
    if wishes.key_stdin:
        return Key(_fitting(set_key.read_line(), provider, wishes), keep=True)
    if wishes.key_from_env:
        return Key(_fitting(set_key.from_variable(provider.key_env), provider, wishes), keep=True)
    if not wishes.asks:
        return Key(provider.key)
    found = environment_key(provider) or provider.key
    if found is not None:
        where = f"in {provider.key_env}" if environment_key(provider) else "stored"
        if asking.confirm(f"A key is {where}: {masked(found, provider.key_prefix)}. Use it?", default=True):
            return Key(found)
    return ask_key(provider, key_url)


def ask_key(provider: Provider, key_url: str | None) -> Key | None:
    """Asks until a key looks right, is meant all the same, or the step is skipped (with nothing)."""
    if key_url is not None:
        _say(f"Get a key of {provider.name} at {key_url}")
    while True:
        typed = asking.secret(f"Key of {provider.name} (not shown; nothing skips)")
        if not typed:
            return None
        wrong = keys.problem(typed, provider, provider.name)
        if wrong is None or asking.confirm(f"Hm: {wrong}. Use it all the same?", default=False):
            return Key(typed, keep=True)


def _fitting(key: str, provider: Provider, wishes: Wishes) -> str:
    wrong = keys.problem(key, provider, provider.name)
    if wrong is not None and not wishes.any_shape:
        raise typer.BadParameter(f"{wrong}; --any-shape takes it all the same")
    return key


def choose_model(provider: Provider, wishes: Wishes) -> str | None:
    """What ``default_model`` is to be; None for a step that was skipped. Raises ``ConfigError``."""
    if wishes.model is not None or provider.kind == "embedded" or not wishes.asks:
        return choosing.model_setting(provider, wishes.model)
    while True:
        try:
            return _ask_model(provider)
        except ConfigError as error:
            _say(f"Hm: {error}")


def _ask_model(provider: Provider) -> str | None:
    if provider.default_model is not None:
        return choosing.model_setting(provider, asking.text("Model", provider.default_model))
    there = local_models(provider)
    if there:
        _say(f"{provider.base_url} has: {', '.join(there[:_LISTED])}")
    else:
        _say(f"Nothing answers at {provider.base_url} now: start it, or name the model that it will have.")
    named = asking.text("Model (nothing skips)", there[0] if there else "")
    return choosing.model_setting(provider, named) if named else None


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: tuple[_Model, ...] = ()


def local_models(provider: Provider) -> list[str]:
    """What a server on this machine says it has; nothing where none answers. No proxy is asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{provider.base_url}/models", timeout=_LIST_LIMIT_S) as answer:
            return [model.id for model in msgspec.json.decode(answer.read(1024 * 1024), type=_Models).data]
    except (OSError, urllib.error.URLError, http.client.HTTPException, msgspec.MsgspecError, ValueError):
        return []


def _heading(text: str) -> None:
    out = console()
    out.print()
    out.print(Text(text, style="bold"))


def _say(text: str) -> None:
    print_text(text)
    sys.stdout.flush()
