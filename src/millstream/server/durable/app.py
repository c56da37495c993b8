"""Durable Streams at ``/v1/stream/…``; below ``runs/`` are the runs, which can be read only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from millstream.config import Config
from millstream.core.errors import MillstreamError
from millstream.server.connection import connection_of
from millstream.server.deliver import ClientGone, Delivery, Pulse
from millstream.server.durable.about import About
from millstream.server.durable.asking import PREFIX, Refused, offset_of, read_append, read_create, read_read
from millstream.server.durable.reading import SECURITY, Answer, Reading, Source
from millstream.server.durable.streams import Streams, headers_of, lifetime_of
from millstream.server.model_api import Deliveries
from millstream.server.runs.manager import Runs
from millstream.server.wire import encode_headers, header_map, read_body
from millstream.sessions.base import StoreError
from millstream.telemetry import logs

EXPOSED_HEADERS = (
    "stream-next-offset",
    "stream-cursor",
    "stream-up-to-date",
    "stream-closed",
    "stream-ttl",
    "stream-expires-at",
    "stream-sse-data-encoding",
    "producer-epoch",
    "producer-seq",
    "producer-expected-seq",
    "producer-received-seq",
    "etag",
    "location",
)
_RUNS = "runs/"


def routes(
    config: Config, runs: Runs, deliveries: Deliveries, owner: Callable[[], str], pulse: Pulse
) -> list[BaseRoute]:
    """``owner`` tells whose the streams of the present request are."""
    return [Route(PREFIX + "{path:path}", _Endpoint(config, runs, deliveries, owner, pulse))]


class _Endpoint:
    def __init__(
        self, config: Config, runs: Runs, deliveries: Deliveries, owner: Callable[[], str], pulse: Pulse
    ) -> None:
        self._runs = runs
        self._deliveries = deliveries
        self._owner = owner
        self._pulse = pulse
        self._max_body = config.server.max_body
        self._streams = Streams(runs.journal, runs.now)
        self._reading = Reading(runs.journal, runs.now, config.streams.poll, config.streams.follow)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(receive, send, self._pulse, connection_of(scope))
        try:
            answer = await self._answer(scope, receive, delivery)
        except ClientGone:
            return
        except Refused as refused:
            answer = _error(refused.status, str(refused), refused.headers)
        except MillstreamError as error:
            answer = _error(error.status, error.message)
        except StoreError as error:
            answer = _error(503, f"the journal cannot be reached: {error}", {"retry-after": "1"})
        except Exception as error:
            logs.logger.error("a durable stream failed", exc_info=error)
            answer = _error(500, "an internal error; the gateway's log has it")
        if answer is None:
            return
        if delivery.started:  # what went wrong came too late to be said
            await delivery.end()
            return
        headers = {"cache-control": "no-store", **SECURITY, **answer.headers}
        await delivery.respond(answer.status, encode_headers(headers), answer.body)

    async def _answer(self, scope: Scope, receive: Receive, delivery: Delivery) -> Answer | None:
        """None where it has been given."""
        path, method = scope["path"].removeprefix(PREFIX), scope["method"]
        if not path:
            raise Refused(404, f"streams have names: {PREFIX}…")
        headers = header_map(scope)
        if method in ("GET", "HEAD"):
            source = await self._source(path, used=method == "GET")
            if method == "HEAD":
                head = headers_of(source.about, source.last, closed=source.closed) | lifetime_of(source.about)
                return Answer(200, head)
            return await self._read(scope, source, headers, delivery)
        if method not in ("PUT", "POST", "DELETE") or path.startswith(_RUNS):
            allow = "GET, HEAD" if path.startswith(_RUNS) else "GET, HEAD, PUT, POST, DELETE"
            raise Refused(405, f"{method} is not for this stream", {"allow": allow})
        if method == "DELETE":
            await self._streams.delete(self._owner(), path)
            return Answer(204, {})
        body = await read_body(scope, receive, self._max_body)
        return await (self._put if method == "PUT" else self._post)(scope, path, headers, body)

    async def _source(self, path: str, *, used: bool) -> Source:
        if path.startswith(_RUNS):
            info = await self._runs.info(path.removeprefix(_RUNS), self._owner())
            about = About(id=f"run-{int(info.created * 1000):x}", content_type="application/json")
            return Source(info.key, about, info.last, info.sealed, _nothing)
        owner = self._owner()
        found = await self._streams.find(owner, path)

        async def use() -> None:
            await self._streams.touch(await self._streams.find(owner, path))

        if used:
            await self._streams.touch(found)
        return Source(found.key, found.about, found.info.last, found.info.sealed, use)

    async def _read(
        self, scope: Scope, source: Source, headers: Mapping[str, str], delivery: Delivery
    ) -> Answer | None:
        ask = read_read(scope.get("query_string", b""))
        if not ask.live:
            return await self._reading.catch_up(source, ask, headers.get("if-none-match"))
        self._deliveries.add(delivery)
        try:
            if ask.live == "sse":
                await self._reading.follow(source, ask, delivery)
                return None
            return await _attended(delivery, lambda: self._reading.poll(source, ask))
        finally:
            self._deliveries.discard(delivery)

    async def _put(self, scope: Scope, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        ask = read_create(headers, body)
        made = await self._streams.make(self._owner(), path, ask)
        said = headers_of(made.about, made.last, closed=ask.closed) | lifetime_of(made.about)
        if made.new:
            raw = scope.get("raw_path") or scope["path"].encode()
            said["location"] = f"{scope['scheme']}://{headers.get('host', '')}{raw.decode('latin-1')}"
        return Answer(201 if made.new else 200, said)

    async def _post(self, scope: Scope, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        ask = read_append(headers, body)
        done = await self._streams.append(self._owner(), path, ask)
        said = {"stream-next-offset": offset_of(done.last)}
        if done.closed:
            said["stream-closed"] = "true"
        if ask.producer is not None and done.seq is not None:
            said |= {"producer-epoch": str(ask.producer.epoch), "producer-seq": str(done.seq)}
        return Answer(200 if ask.producer is not None and done.new and body else 204, said)


async def _attended(delivery: Delivery, work: Callable[[], Awaitable[Answer]]) -> Answer:
    """``work``, for as long as the client is there."""
    answers: list[Answer] = []

    async def do() -> None:
        answers.append(await work())

    await delivery.attend(do)
    return answers[0]


async def _nothing() -> None:
    """A run is kept as long as it is, whoever reads it."""


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    body = msgspec.json.encode({"error": {"message": message}})
    return Answer(status, {"content-type": "application/json", **(headers or {})}, body)
