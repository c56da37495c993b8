"""What tokens cost: as the configuration says, else as the package genai-prices knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from millstream.core.messages import Usage
from millstream.policy.routing import Route
from millstream.providers.catalog import Provider

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float
    cache_read: float | None = None

    def of(self, usage: Usage) -> float:
        cached = min(usage.cache_read_tokens or 0, usage.input_tokens)
        read = self.input if self.cache_read is None else self.cache_read
        dear = (usage.input_tokens - cached) * self.input + cached * read + usage.output_tokens * self.output
        return dear / _MILLION


class Prices:
    """``own`` are by patterns of ``provider/model``; of several that fit, the first counts. Loading what is known takes
    a quarter of a second the first time: not to be called in an event loop."""

    def __init__(self, own: Mapping[str, Price], providers: Mapping[str, Provider]) -> None:
        self._own = own
        self._providers = providers

    def cost(self, usage: Usage, route: Route) -> float | None:
        """US dollars; None where nobody knows. What runs on this machine costs nothing."""
        name = route.name
        for pattern, price in self._own.items():
            if fnmatchcase(name, pattern):
                return price.of(usage)
        provider = self._providers.get(route.provider)
        if provider is None:
            return None
        if provider.kind in ("embedded", "replay"):
            return 0.0
        return known(usage, provider, route.model)


def known(usage: Usage, provider: Provider, model: str) -> float | None:
    """US dollars by the package genai-prices; None where that is not installed, or does not know."""
    if not provider.base_url.startswith("https://"):
        return None
    try:
        import genai_prices
    except ImportError:
        return None
    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    try:
        found = genai_prices.calc_price(counted, model, provider_api_url=provider.base_url)
    except (LookupError, ValueError):
        return None
    return float(found.total_price)
