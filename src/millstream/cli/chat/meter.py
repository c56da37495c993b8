"""What an answer took: the time to its first token, tokens per second, tokens, and their price."""

from __future__ import annotations

from dataclasses import dataclass

from millstream.core.events import ReasoningDelta, TextDelta, ToolCallDelta, Usage
from millstream.core.messages import Usage as TokenUsage
from millstream.core.run_events import RunEvent
from millstream.core.tokens import text_tokens
from millstream.providers.catalog import Provider
from millstream.telemetry import prices


@dataclass(slots=True)
class Meter:
    """``began`` is when the request was sent. Times are of one steady clock, in seconds."""

    began: float
    first: float | None = None
    last: float | None = None
    usage: TokenUsage | None = None
    _said: int = 0

    def take(self, at: float, event: RunEvent) -> None:
        if isinstance(event, (TextDelta, ReasoningDelta, ToolCallDelta)):
            if self.first is None:
                self.first = at
            self.last = at
            self._said += text_tokens(event.arguments if isinstance(event, ToolCallDelta) else event.text)
        elif isinstance(event, Usage):
            self.usage = event.usage

    def facts(self, provider: Provider | None, model: str) -> list[str]:
        """In the order of their interest; nothing of an answer that never began. ``~`` is before what is estimated."""
        if self.first is None or self.last is None:
            return []
        counted = self.usage is not None and self.usage.output_tokens > 0
        tokens = self.usage.output_tokens if self.usage is not None and counted else self._said
        about = "" if counted else "~"
        facts = [f"first token {seconds(self.first - self.began)}"]
        if tokens > 1 and self.last > self.first:
            facts.append(f"{about}{tokens / (self.last - self.first):,.0f} tokens/s")
        facts.append(f"{about}{tokens:,} tokens")
        if self.usage is not None and self.usage.input_tokens:
            facts.append(f"{self.usage.input_tokens:,} in")
        cost = prices.known(self.usage, provider, model) if self.usage is not None and provider is not None else None
        if cost is not None:
            facts.append(money(cost))
        return facts


def seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def money(dollars: float) -> str:
    if dollars <= 0:
        return "$0"
    return f"${dollars:.2f}" if dollars >= 1 else f"${dollars:.2g}" if dollars >= 0.0001 else "< $0.0001"
