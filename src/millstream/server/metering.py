"""What callers use: let in by their limits, counted when it has ended, written down soon after.

The meter is asked before each call of a model, whatever the surface, and also for each call of an agent's loop. What a
call took is settled without waiting: prices are looked up and sums are written by one task besides the requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from millstream.core.errors import ClientFault, Kind, PolicyRefusal, UpstreamFault
from millstream.core.messages import Request, Usage
from millstream.core.tokens import estimate
from millstream.pipeline import Settle
from millstream.policy.budget import MICRO, Ledger, Seed, Window, minute_of, period_of
from millstream.policy.caller import Caller
from millstream.policy.ratelimit import Rates
from millstream.policy.routing import Route
from millstream.server.identity import caller
from millstream.sessions.base import StoreError
from millstream.sessions.usage import HOUR_S, Place, Row, UsageStore, Used
from millstream.telemetry import logs
from millstream.telemetry.prices import Prices

_WRITE_EVERY_S = 1.0
_UNREADABLE = 4096
"""Tokens that are reserved for the prompt of a request that only its upstream can read."""

_MOST_UNWRITTEN = 10_000

Spent = Callable[[Route, float], None]
"""Told what a call cost, in US dollars."""


@dataclass(frozen=True, slots=True)
class _Reserved:
    account: str
    window: Window
    amount: int


@dataclass(frozen=True, slots=True)
class _Ended:
    """A call that has ended, of which nothing has been counted yet."""

    at: float
    caller: Caller
    route: Route
    usage: Usage | None
    content: bool
    tokens: _Reserved | None
    money: _Reserved | None


class UsageMeter:
    """Implements ``pipeline.Meter``. ``async with`` it where the application begins and ends. ``now`` is Unix time."""

    def __init__(
        self,
        store: UsageStore,
        ledger: Ledger,
        rates: Rates,
        prices: Prices,
        now: Callable[[], float],
        reserve_output: int,
        spent: Spent,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._rates = rates
        self._prices = prices
        self._now = now
        self._reserve_output = reserve_output
        self._spent = spent
        self._ended: list[_Ended] = []
        self._unwritten: dict[Place, Used] = {}
        self._news = asyncio.Event()
        self._settling = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_books())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            async with self._settling:  # what it is in the middle of would be lost
                self._task.cancel()
            await asyncio.wait({self._task})
        await self._write()
        await self._store.aclose()
        await self._ledger.aclose()
        await self._rates.aclose()

    def permit(self, model: str, route: Route) -> None:
        """Raises ``PolicyRefusal`` (403)."""
        if not caller().may_use(model, route.name):
            raise PolicyRefusal(f"this key may not use the model {model!r}", Kind.PERMISSION, code="model_not_allowed")

    async def expect(self) -> None:
        """Raises ``PolicyRefusal`` (429) for a caller who has had its rate of requests."""
        who = caller()
        if who.limits.requests_per_minute is not None:
            await self._rates.expect("requests", who.account, who.limits.requests_per_minute)

    async def admit(self, route: Route, request: Callable[[], Request]) -> Settle:
        """Raises ``PolicyRefusal``: 429 with the time to come back for rates, 402 for a budget."""
        who = caller()
        tokens = money = None
        if who.limits:
            tokens, money = await self._reserved(who, route, request)

        def settle(usage: Usage | None, content: bool) -> None:
            self._ended.append(_Ended(self._now(), who, route, usage, content, tokens, money))
            self._news.set()

        return settle

    async def rows(self, first: int, last: int) -> list[Row]:
        """What was used in the hours from ``first`` to before ``last``, up to now. Raises ``StoreError``."""
        await self._write()
        unwritten = [(place, used) for place, used in self._unwritten.items() if first <= place.hour < last]
        return [*await self._store.between(first, last), *unwritten]

    async def _reserved(
        self, who: Caller, route: Route, request: Callable[[], Request]
    ) -> tuple[_Reserved | None, _Reserved | None]:
        limits = who.limits
        if limits.requests_per_minute is not None:
            await self._rates.take("requests", who.account, limits.requests_per_minute)
        if limits.tokens_per_minute is None and limits.budget is None:
            return None, None
        likely = await self._likely(route, request)
        tokens = money = None
        if limits.tokens_per_minute is not None:
            tokens = await self._reserve_tokens(who, likely, limits.tokens_per_minute)
        try:
            if limits.budget is not None:
                money = await self._reserve_money(who, route, likely, limits.budget)
        except BaseException:
            if tokens is not None:
                await self._ledger.correct(tokens.account, tokens.window, -tokens.amount)
            raise
        return tokens, money

    async def _likely(self, route: Route, request: Callable[[], Request]) -> Usage:
        """What a call may take, erring high."""
        try:
            asked = request()
        except ClientFault:
            return Usage(_UNREADABLE, self._reserve_output)
        tokens = await asyncio.to_thread(estimate, asked, route.model)
        return Usage(tokens, asked.max_tokens or self._reserve_output)

    async def _reserve_tokens(self, who: Caller, likely: Usage, limit: int) -> _Reserved:
        now = self._now()
        wanted = _Reserved(f"tokens:{who.account}", minute_of(now), likely.input_tokens + likely.output_tokens)
        if not await self._reserve(wanted, limit):
            wait = wanted.window.end - now
            message = f"more than {limit} tokens a minute: try again in {wait:.0f} s"
            raise PolicyRefusal(message, Kind.RATE_LIMIT, retry_after=max(1.0, wait), code="rate_limit_exceeded")
        return wanted

    async def _reserve_money(self, who: Caller, route: Route, likely: Usage, budget: float) -> _Reserved:
        cost = await asyncio.to_thread(self._prices.cost, likely, route)
        if cost is None:
            message = f"nobody knows what {route.name} costs, and this key has a budget (limits.prices can say it)"
            raise PolicyRefusal(message, Kind.PERMISSION, code="price_unknown")
        window = period_of(self._now(), who.limits.period)
        wanted = _Reserved(f"money:{who.account}", window, round(cost * MICRO))

        async def spent_before() -> int:
            rows = await self.rows(window.start // HOUR_S, window.end // HOUR_S)
            return sum(used.cost_micro for place, used in rows if (place.key, place.user) == (who.name, who.user or ""))

        if not await self._reserve(wanted, round(budget * MICRO), spent_before):
            message = f"the budget of ${budget:g} a {who.limits.period} is used up"
            raise PolicyRefusal(message, Kind.BILLING, code="budget_exceeded", retryable=False)
        return wanted

    async def _reserve(self, wanted: _Reserved, limit: int, seed: Seed | None = None) -> bool:
        try:
            return await self._ledger.reserve(wanted.account, wanted.window, wanted.amount, limit, seed)
        except StoreError as error:
            message = "the limits' store does not answer"
            raise UpstreamFault(message, Kind.OVERLOADED, status=503, retry_after=1) from error

    async def _keep_books(self) -> None:
        while True:
            await self._news.wait()
            await self._write()
            await asyncio.sleep(_WRITE_EVERY_S)

    async def _write(self) -> None:
        """Counts what has ended, and writes it down."""
        async with self._settling:
            self._news.clear()
            ended, self._ended = self._ended, []
            if ended:
                costs = await asyncio.to_thread(self._costs, ended)
                for one, cost in zip(ended, costs, strict=True):
                    await self._correct(one, cost)
                    self._count(one, cost)
            rows, self._unwritten = self._unwritten, {}
            try:
                if rows:
                    await self._store.add(list(rows.items()))
                self._failing = False
            except StoreError as error:
                self._keep(rows, error)

    def _costs(self, ended: list[_Ended]) -> list[float | None]:
        return [0.0 if one.usage is None else self._prices.cost(one.usage, one.route) for one in ended]

    async def _correct(self, one: _Ended, cost: float | None) -> None:
        """What a call took in place of what was reserved for it. Where nobody said what it took, that is nothing if it
        gave nothing, and else what was reserved."""
        if one.usage is None and one.content:
            return
        usage = one.usage or Usage()
        actual = ((one.tokens, usage.input_tokens + usage.output_tokens), (one.money, round((cost or 0.0) * MICRO)))
        for reserved, taken in actual:
            if reserved is not None:
                try:
                    await self._ledger.correct(reserved.account, reserved.window, taken - reserved.amount)
                except StoreError as error:
                    logs.logger.warning("what a call took could not be counted: %s", error)

    def _count(self, one: _Ended, cost: float | None) -> None:
        usage = one.usage or Usage()
        place = Place(int(one.at) // HOUR_S, one.caller.name, one.caller.user or "", one.route.name)
        used = Used(
            1,
            int(one.usage is None),
            int(cost is None),
            usage.input_tokens,
            usage.cache_read_tokens or 0,
            usage.output_tokens,
            round((cost or 0.0) * MICRO),
        )
        self._unwritten[place] = self._unwritten.get(place, Used()).plus(used)
        if cost:
            self._spent(one.route, cost)

    def _keep(self, rows: dict[Place, Used], error: StoreError) -> None:
        """For the next try, within bounds."""
        if not self._failing:
            logs.logger.warning("usage is not written down: %s", error)
        self._failing = True
        if len(rows) <= _MOST_UNWRITTEN:
            for place, used in rows.items():
                self._unwritten[place] = self._unwritten.get(place, Used()).plus(used)
