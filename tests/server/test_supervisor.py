"""Several workers at one address: real processes, which die, are replaced, and are told to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway_site import run
from prometheus_client.parser import text_string_to_metric_families
from raw_client import RawClient
from raw_http import Cut
from raw_upstream import Call, RawUpstream
from wires import AnthropicWire, ChatWire

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes in /proc")

LIMIT_S = 60.0
"""For a test that hangs: several interpreters start, on whatever machine this is."""

CLIENT, UPSTREAM = AnthropicWire(), ChatWire()
_KEPT = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE", "PYTHONPATH")
CONFIG = """\
default_model = "up/m"
{more}
[server]
drain = {drain}
[sessions]
path = "{folder}/sessions.db"
[log]
format = "json"
[providers.up]
dialect = "openai_chat"
base_url = "{upstream}/v1"
default_model = "m"
{last}
"""


class Workers:
    """``millstream serve --workers``, whose settings can be written anew. Use it with ``async with``."""

    def __init__(self, folder: Path, upstream: str, *, workers: int = 2, port: int = 0, drain: float = 30.0) -> None:
        self._folder = folder
        self._fields = {"folder": folder, "upstream": upstream, "drain": drain}
        self._file = folder / "settings.toml"
        self._arguments = ["--workers", str(workers), "--port", str(port), "--address-only"]
        self.log: list[dict[str, Any]] = []
        self._logged = asyncio.Condition()
        self.write()

    def write(self, more: str = "", last: str = "") -> None:
        self._file.write_text(CONFIG.format(**self._fields, more=more, last=last))

    async def __aenter__(self) -> Workers:
        environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        paths = [str(self._folder), *filter(None, [environ.get("PYTHONPATH")])]
        environ |= {"HOME": str(self._folder), "PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "millstream", "serve", "--config", str(self._file), *self._arguments]
        self.process = await asyncio.create_subprocess_exec(
            *command, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        self._reading = asyncio.create_task(self._read_log())
        url = (await self.process.stdout.readline()).decode().strip()
        self.port = int(url.rpartition(":")[2]) if url else 0
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.terminate()
            self.process.terminate()
        await self.process.wait()
        await self._reading

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The log's lines of them. All are there once the block has ended."""
        return [line for line in self.log if line["event"] == "request"]

    async def said(self, words: str) -> str:
        """Waits for a log line with ``words``; the event that it tells of."""
        async with self._logged:
            await self._logged.wait_for(lambda: any(words in line["event"] for line in self.log))
        return next(str(line["event"]) for line in self.log if words in line["event"])

    async def health(self) -> dict[str, Any]:
        async with RawClient(self.address) as client:
            status, body = await client.ask("GET", "/health")
            assert status == 200
            found: dict[str, Any] = json.loads(body)
            return found

    async def met(self, count: int = 2, *, without: frozenset[int] = frozenset()) -> dict[int, int]:
        """The processes that answer, by the number of the worker, once there are ``count``."""
        found: dict[int, int] = {}
        while len(found) < count:
            health = await self.health()
            if health["pid"] not in without:
                found[health["worker"]] = health["pid"]
        return found

    async def gone(self, pids: frozenset[int]) -> None:
        """Returns once none of ``pids`` has a socket that listens, and so all connections come to others."""
        listening = _inodes_of_listeners(self.port)
        while any(_sockets(pid) & listening for pid in pids):
            await self.health()

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._logged:
                self.log.append(json.loads(line) if line.startswith(b"{") else {"event": line.decode()})
                self._logged.notify_all()


def _inodes_of_listeners(port: int) -> set[str]:
    """https://docs.kernel.org/networking/proc_net_tcp.html"""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(link.readlink()))
    return found


class Steady:
    """An upstream whose streams go on until ``finish`` is set."""

    def __init__(self) -> None:
        self.finish = asyncio.Event()

    async def __call__(self, call: Call) -> None:
        await call.head()
        await call.send(UPSTREAM.start() + UPSTREAM.text(0, "Still", first=True))
        await self.finish.wait()
        await call.send(UPSTREAM.text(0, " here.") + UPSTREAM.close(0) + UPSTREAM.end())
        await call.end()


@contextlib.asynccontextmanager
async def streaming(workers: Workers, count: int) -> AsyncIterator[list[tuple[RawClient, bytes]]]:
    """``count`` streams under way, each with what came of it so far."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            client = await stack.enter_async_context(RawClient(workers.address))
            await client.send("POST", CLIENT.path, CLIENT.request())
            assert await client.head() == 200
            found.append((client, await client.body.until(b"Still")))
        yield found


async def quick(call: Call) -> None:
    await call.stream(*UPSTREAM.answer("Hello."))


async def refuses(workers: Workers) -> None:
    """Returns once nothing listens there."""
    with contextlib.suppress(ConnectionError, Cut):
        while True:
            await workers.health()


def test_a_worker_that_is_killed_is_started_again_while_the_others_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        steady = Steady()
        async with RawUpstream(steady) as upstream, Workers(tmp_path, upstream.url) as workers:
            pids = await workers.met()
            async with streaming(workers, 8) as streams:
                os.kill(pids[1], signal.SIGKILL)
                again = await workers.met(without=frozenset({pids[1]}))
                assert again[2] == pids[2]
                assert again[1] != pids[1]
                assert "signal 9" in await workers.said("worker 1 ended")
                steady.finish.set()
                whole = 0
                for client, got in streams:
                    with contextlib.suppress(Cut):
                        whole += CLIENT.hear(got + await client.body.rest()).ends
            workers.tell(signal.SIGTERM)
            assert await workers.process.wait() == 0
        assert [line["worker"] for line in workers.requests] == [2] * whole

    run(main(), LIMIT_S)


def test_settings_are_read_anew_while_every_stream_goes_on_to_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        steady = Steady()
        async with RawUpstream(steady) as upstream, Workers(tmp_path, upstream.url) as workers:
            before = await workers.health()
            pids = await workers.met()
            async with streaming(workers, 12) as streams:
                workers.write(more='unknown_model = "default"')
                workers.tell(signal.SIGHUP)
                await workers.said("reloaded")
                await workers.gone(frozenset(pids.values()))
                assert (await workers.health())["config"] != before["config"]
                async with RawClient(workers.address) as late:
                    await late.send("POST", CLIENT.path, CLIENT.request(model="nobody-knows"))
                    assert await late.head() == 200
                    steady.finish.set()
                    assert CLIENT.hear(await late.body.rest()).ends == 1
                for client, got in streams:
                    heard = CLIENT.hear(got + await client.body.rest())
                    assert (heard.text, heard.ends, heard.errors) == ("Still here.", 1, [])
            workers.tell(signal.SIGTERM)
            assert await workers.process.wait() == 0

    run(main(), LIMIT_S)


def test_no_connection_is_lost_while_workers_are_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        over = asyncio.Event()

        async def hammer(kept: bool) -> int:
            """Requests until it is over, on one connection for as long as it lasts, or each on its own."""
            asked = 0
            while not over.is_set():
                async with RawClient(workers.address) as client:
                    more = True
                    while more:
                        status, body = await client.ask("POST", CLIENT.path, CLIENT.request())
                        assert (status, CLIENT.hear(body).text) == (200, "Hello.")
                        asked += 1
                        more = kept and not over.is_set() and client.headers.get("connection") != "close"
            return asked

        async with RawUpstream(quick) as upstream, Workers(tmp_path, upstream.url) as workers:
            pids = await workers.met()
            hammering = [asyncio.create_task(hammer(kept)) for kept in (False, False, False, True, True)]
            for number in range(2):
                workers.write(more=f'aliases = {{ "again-{number}" = "up/m" }}')
                workers.tell(signal.SIGHUP)
                pids = await workers.met(without=frozenset(pids.values()))
            over.set()
            assert all([await task for task in hammering])

    run(main(), LIMIT_S)


@pytest.mark.parametrize(
    ("last", "why"),
    [("[nonsense]", "nonsense is not a setting"), ("[sessions2", "not valid TOML")],
    ids=["name", "form"],
)
def test_broken_settings_leave_the_workers_as_they_are(tmp_path: Path, last: str, why: str) -> None:
    async def main() -> None:
        async with RawUpstream(quick) as upstream, Workers(tmp_path, upstream.url) as workers:
            pids = await workers.met()
            workers.write(last=last)
            workers.tell(signal.SIGHUP)
            said = await workers.said("not reloaded")
            assert why in said
            assert "\n" not in said
            assert await workers.met() == pids

    run(main(), LIMIT_S)


def test_on_sigterm_streams_go_on_and_nobody_else_comes_in(tmp_path: Path) -> None:
    async def main() -> None:
        steady = Steady()
        async with RawUpstream(steady) as upstream, Workers(tmp_path, upstream.url) as workers:
            async with streaming(workers, 6) as streams:
                workers.tell(signal.SIGTERM)
                await refuses(workers)
                steady.finish.set()
                for client, got in streams:
                    assert CLIENT.hear(got + await client.body.rest()).ends == 1
            assert await workers.process.wait() == 0
        assert [line["end"] for line in workers.requests] == ["finished"] * 6
        assert {line["worker"] for line in workers.requests} <= {1, 2}

    run(main(), LIMIT_S)


def test_streams_that_outlive_the_drain_end_with_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with RawUpstream(Steady()) as upstream, Workers(tmp_path, upstream.url, drain=0.1) as workers:
            async with streaming(workers, 4) as streams:
                workers.tell(signal.SIGTERM)
                for client, got in streams:
                    heard = CLIENT.hear(got + await client.body.rest())
                    assert "shutting down" in heard.errors[0]["message"]
            assert await workers.process.wait() == 0

    run(main(), LIMIT_S)


def test_a_second_signal_cuts_everything_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with RawUpstream(Steady()) as upstream, Workers(tmp_path, upstream.url, drain=1000.0) as workers:
            async with streaming(workers, 4) as streams:
                workers.tell(signal.SIGINT)
                await workers.said("stopping")
                workers.tell(signal.SIGINT)
                for client, _ in streams:
                    with pytest.raises(Cut):
                        await client.body.rest()
            assert await workers.process.wait() == 0

    run(main(), LIMIT_S)


def test_workers_end_their_streams_and_then_themselves_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        steady = Steady()
        async with RawUpstream(steady) as upstream, Workers(tmp_path, upstream.url) as workers:
            await workers.met()
            async with streaming(workers, 4) as streams:
                workers.tell(signal.SIGKILL)
                await refuses(workers)
                steady.finish.set()
                for client, got in streams:
                    assert CLIENT.hear(got + await client.body.rest()).ends == 1
            # Their standard error is ours: it ends when the last of them has.

    run(main(), LIMIT_S)


def test_a_worker_that_does_not_start_is_given_up_after_a_few_tries(tmp_path: Path) -> None:
    async def main() -> None:
        broken = _breakable(tmp_path)
        async with RawUpstream(quick) as upstream, Workers(tmp_path, upstream.url) as workers:
            pids = await workers.met()
            broken.touch()
            workers.tell(signal.SIGHUP)
            assert "exit status 3, exit status 3" in await workers.said("not reloaded")
            assert await workers.met() == pids
            os.kill(pids[1], signal.SIGKILL)
            assert await workers.process.wait() == 1
            await workers.said("worker 1 does not start (exit status 3); giving up")

    run(main(), LIMIT_S)


def test_a_gateway_none_of_whose_workers_starts_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        _breakable(tmp_path).touch()
        async with Workers(tmp_path, "http://127.0.0.1:9") as workers:
            assert workers.port == 0
            assert await workers.process.wait() == 1
            await workers.said("does not start (exit status 3); giving up")

    run(main(), LIMIT_S)


def _breakable(folder: Path) -> Path:
    """A file; for as long as it is there, workers end before they serve."""
    flag = folder / "broken"
    text = "import os, sys\nif 'millstream.server.worker' in sys.orig_argv and os.path.exists({!r}): os._exit(3)\n"
    (folder / "sitecustomize.py").write_text(text.format(str(flag)))
    return flag


def test_a_port_that_another_holds_is_refused_even_if_it_would_share_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with RawUpstream(quick) as upstream, Workers(tmp_path, upstream.url) as first:
            await first.met()
            async with Workers(tmp_path, upstream.url, port=first.port) as second:
                assert await second.process.wait() == 2
                await second.said(f"port {first.port} on 127.0.0.1 is in use")
        with socket.create_server(("127.0.0.1", 0)) as other:
            async with Workers(tmp_path, "http://127.0.0.1:9", port=other.getsockname()[1]) as third:
                assert await third.process.wait() == 2

    run(main(), LIMIT_S)


@pytest.mark.parametrize(
    ("more", "last", "why"),
    [
        ('aliases = { small = "embedded" }', "", "aliases.small: the embedded model"),
        ("", "[embedded]\nslots = 1", None),
    ],
    ids=["alias", "unused"],
)
def test_the_embedded_model_is_not_for_several(tmp_path: Path, more: str, last: str, why: str | None) -> None:
    async def main() -> None:
        workers = Workers(tmp_path, "http://127.0.0.1:9")
        workers.write(more=more, last=last)
        async with workers:
            if why is not None:
                assert await workers.process.wait() == 2
                await workers.said(why)
                return
            async with RawClient(workers.address) as client:
                status, body = await client.ask("POST", CLIENT.path, CLIENT.request(model="embedded"))
                assert (status, b"embedded" in body) == (404, True)

    run(main(), LIMIT_S)


def total(text: bytes, name: str) -> float:
    families = text_string_to_metric_families(text.decode())
    return sum(one.value for family in families for one in family.samples if one.name == f"millstream_{name}")


async def told(workers: Workers, path: str) -> bytes:
    """By whichever worker takes the connection."""
    async with RawClient(workers.address) as client:
        status, body = await client.ask("GET", path)
        assert status == 200
        return body


async def counted(workers: Workers, ended: int) -> None:
    """Returns once so many requests are counted: a client may see its answer's end before that."""
    while total(await told(workers, "/metrics"), "requests_total") < ended:
        pass


def test_whichever_worker_is_asked_it_tells_the_figures_of_all(tmp_path: Path) -> None:
    """Also of those that have ended: else a total would become less, which Prometheus takes for a new beginning."""

    async def main() -> None:
        steady = Steady()
        async with RawUpstream(steady) as upstream, Workers(tmp_path, upstream.url) as workers:
            pids = await workers.met()
            async with streaming(workers, 8) as streams:
                assert [total(await told(workers, "/metrics"), "open_streams") for _ in range(6)] == [8] * 6
                steady.finish.set()
                for client, got in streams:
                    assert CLIENT.hear(got + await client.body.rest()).ends == 1
            await counted(workers, 8)
            states = [json.loads(await told(workers, "/api/v1/state")) for _ in range(6)]
            assert {state["worker"] for state in states} <= {1, 2}
            assert {(state["requests"]["finished"], state["processes"]) for state in states} == {(8, 2)}
            assert {state["models"][0]["samples"] for state in states} == {8}

            os.kill(pids[1], signal.SIGKILL)
            pids = await workers.met(without=frozenset({pids[1]}))
            assert total(await told(workers, "/metrics"), "requests_total") == 8

            async with RawClient(workers.address) as client:
                assert (await client.ask("POST", CLIENT.path, CLIENT.request()))[0] == 200
            workers.write(more='unknown_model = "default"')
            workers.tell(signal.SIGHUP)
            await workers.met(without=frozenset(pids.values()))
            await workers.gone(frozenset(pids.values()))
            await counted(workers, 9)
            told_now = [await told(workers, "/metrics") for _ in range(4)]
            assert {total(text, "requests_total") for text in told_now} == {9}
            assert {total(text, "stream_seconds_count") for text in told_now} == {9}

    run(main(), LIMIT_S)
