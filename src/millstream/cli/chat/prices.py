"""What tokens cost, as the package genai-prices knows it. Where it is not installed, nothing is said."""

from __future__ import annotations

from millstream.core.messages import Usage
from millstream.providers.catalog import Provider


def price(usage: Usage, provider: Provider, model: str) -> float | None:
    """Dollars for ``usage`` of the provider's ``model``; None where nobody knows."""
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
