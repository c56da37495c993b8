"""After hundreds of streams of every kind, nothing is left: no task, no socket, no stream that is counted."""

import asyncio
import gc
from pathlib import Path

from gateway_site import WIRES, Site, run
from raw_client import RawClient
from raw_upstream import JSON, Call
from wires import Wire

from millstream.testing.gateway import GatewayThread

STREAMS = 360
AT_ONCE = 40
KINDS = ("whole", "finished", "cut", "refused", "leaves-before", "leaves-within", "leaves-late", "silent", "error")


def _tasks() -> int:
    return len(asyncio.all_tasks())


def _open_files() -> int:
    """0 where the system does not tell."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.is_dir() else 0


async def _answer(call: Call) -> None:
    """What the request's model asks for, in the dialect of its path."""
    wire: Wire = next(kind() for kind in WIRES if call.path.startswith(kind.path))
    kind = next(kind for kind in KINDS if f'"model":"{kind}"'.encode() in call.body)
    if kind == "refused":
        await call.answer(400, wire.refusal("invalid", "no"), JSON)
    elif kind == "whole" and b'"stream":false' in call.body:
        await call.answer(200, wire.reply("Hello."))
    elif kind in ("whole", "finished"):
        await call.stream(*wire.answer("Hello."))
    elif kind == "leaves-before":
        await call.gone()
    else:
        await call.head()
        await call.send(wire.start() + wire.text(0, "Hello", first=True))
        if kind == "cut":
            call.cut()
        elif kind == "error":
            await call.send(wire.error("internal", "broken"))
            await call.end()
        else:
            await call.gone()


async def _one(gateway: GatewayThread, number: int) -> None:
    client, upstream = WIRES[number % 2](), WIRES[number // 2 % 2]()
    kind = KINDS[number % len(KINDS)]
    model = f"{upstream.name}-up/{kind}"
    async with RawClient(gateway.address) as sender:
        await sender.send("POST", client.path, client.request(model=model, stream=kind != "whole"))
        if kind == "leaves-before":
            return
        status = await sender.head()
        if kind in ("leaves-within", "leaves-late"):
            await sender.body.until(b"Hello")
            return
        body = await sender.body.rest()
    match kind:
        case "whole":
            assert (status, client.said_in(body)) == (200, "Hello.")
        case "refused":
            assert status == 400
        case "finished":
            assert client.hear(body).ends == 1
        case _:
            heard = client.hear(body)
            assert (heard.text, heard.ends, len(heard.errors)) == ("Hello", 0, 1)


def test_nothing_is_left_over_of_hundreds_of_mixed_streams(site: Site) -> None:
    async def main() -> None:
        with GatewayThread(site.config(idle_timeout=0.2, heartbeat=0.05)) as gateway:
            async with site.upstream(_answer) as asked:
                for number in range(len(KINDS) * 4):  # whatever is made once exists after this
                    await _one(gateway, number)
                before = await _settled(gateway)
                files_before = _open_files()
                queue = list(range(STREAMS))

                async def worker() -> None:
                    while queue:
                        await _one(gateway, queue.pop())

                async with asyncio.TaskGroup() as group:
                    for _ in range(AT_ONCE):
                        group.create_task(worker())
                assert await _settled(gateway) == before
                assert len(asked.calls) > STREAMS
            assert gateway.open_streams == 0
            gc.collect()
            # The pool keeps some connections of finished requests open, at most one per request that ran at once.
            assert _open_files() <= files_before + 2 * AT_ONCE
            assert gateway.call(_tasks) <= before

    run(main())


async def _settled(gateway: GatewayThread) -> int:
    """The number of tasks once no stream is open and each connection of a client that left is closed."""
    async with RawClient(gateway.address) as other:
        while gateway.open_streams:
            await other.ask("GET", "/health")
    counted = -1
    while True:
        found = gateway.call(_tasks)
        if found == counted:
            return found
        counted = found
        await asyncio.sleep(0)
