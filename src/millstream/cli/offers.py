"""What matters of each provider to someone who chooses one: speed, context, price, where a key is to be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from millstream.providers import catalog
from millstream.providers.catalog import Provider, Speed

_LOCAL = ("ollama", "lmstudio", "llamacpp", "vllm")
_MILLION = 1_000_000
_THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Offer:
    """``context`` in tokens; ``prices`` in dollars for a million tokens in and out. None where nobody knows."""

    provider: Provider
    speed: Speed | None
    key_url: str | None
    context: int | None
    prices: tuple[float, float] | None

    @property
    def name(self) -> str:
        return self.provider.name


def offers(providers: Mapping[str, Provider]) -> list[Offer]:
    """Those of the catalog that a key makes usable, then one's own, then servers on this machine, then the model
    within."""
    rows = catalog.rows()
    keyed = [name for name, row in rows.items() if row.key_url]
    own = [name for name in providers if name not in rows]
    return [_offer(providers[name], rows.get(name)) for name in (*keyed, *own, *_LOCAL, "embedded")]


def _offer(provider: Provider, row: catalog.Row | None) -> Offer:
    context, prices = _known(provider)
    return Offer(provider, row.speed if row else None, row.key_url if row else None, context, prices)


def _known(provider: Provider) -> tuple[int | None, tuple[float, float] | None]:
    """Context and prices of the default model, as the package genai-prices knows them."""
    if provider.default_model is None or not provider.base_url.startswith("https://"):
        return None, None
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None, None
    try:
        found = calc_price(Usage(input_tokens=_MILLION), provider.default_model, provider_api_url=provider.base_url)
        out = calc_price(Usage(output_tokens=_MILLION), provider.default_model, provider_api_url=provider.base_url)
    except (LookupError, ValueError):
        return None, None
    return found.model.context_window, (float(found.total_price), float(out.total_price))


def context_text(tokens: int | None) -> str:
    if tokens is None:
        return ""
    return f"{tokens / _MILLION:g}M" if tokens % _MILLION == 0 else f"{tokens // _THOUSAND}k"


def price_text(prices: tuple[float, float] | None) -> str:
    """Dollars for a million tokens, in and out."""
    return f"${prices[0]:.2f} / ${prices[1]:.2f}" if prices else ""
