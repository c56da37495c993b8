"""Servers that others wrote, in both eras of the protocol, over both transports."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import sys
from pathlib import Path

from mcp_use import Heard, context, in_loop, node, over_http, python, source, text

from millstream.core.messages import MediaPart, TextPart
from millstream.tools.base import ToolSpec
from millstream.tools.mcp.settings import Program, ServerSettings, ToolSettings


def _names(specs: object) -> set[str]:
    assert isinstance(specs, list)
    assert all(isinstance(spec, ToolSpec) for spec in specs)
    return {spec.name for spec in specs}


async def _everything(settings: ServerSettings) -> None:
    async with source(settings) as it:
        specs = {spec.name: spec for spec in await it.list()}
        assert specs["get-sum"].parameters["required"] == ["a", "b"]
        assert "7" in await text(it, "get-sum", a=3, b=4)
        heard = Heard()
        arguments = {"duration": 0.2, "steps": 4}
        done = await it.call("trigger-long-running-operation", arguments, context(heard))
        assert not done.is_error
        assert [(step.current, step.total) for step in heard.progress] == [(n, 4) for n in (1, 2, 3, 4)]
        image = await it.call("get-tiny-image", {}, context())
        assert isinstance(image.content, tuple)
        shown = [part for part in image.content if isinstance(part, MediaPart)]
        assert [(part.kind, part.media_type, (part.data or "")[:5]) for part in shown] == [
            ("image", "image/png", "iVBOR")
        ]
        assert any(isinstance(part, TextPart) for part in image.content)
        resource = await text(it, "get-resource-reference", resourceType="Text", resourceId=1)
        assert "[resource demo://resource/dynamic/text/1]" in resource
        blob = await text(it, "get-resource-reference", resourceType="Blob", resourceId=1)
        assert "demo://resource/dynamic/blob/1" in blob
        assert "demo://" in await text(it, "get-resource-links", count=2)


@in_loop
async def test_everything_over_stdio() -> None:
    await _everything(ServerSettings(node("server-everything")))


@in_loop
async def test_everything_over_streamable_http() -> None:
    program = node("server-everything", "streamableHttp")
    # it cannot be given port 0: it must be one that is free now
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = Program(program.command, program.args, {"PORT": str(port)})
    async with over_http(program, r"listening on port (\d+)") as address:
        await _everything(ServerSettings(address))


@in_loop
async def test_the_file_server_reads_what_it_may_and_says_no_to_the_rest(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("the mill turns")
    async with source(node("server-filesystem", str(tmp_path))) as it:
        assert "read_text_file" in _names(await it.list())
        assert "the mill turns" in await text(it, "read_text_file", path=str(tmp_path / "note.txt"))
        refused = await it.call("read_text_file", {"path": "/etc/hostname"}, context())
        assert refused.is_error
        assert "denied" in str(refused.content)


@in_loop
async def test_the_time_server_tells_the_time() -> None:
    async with source(Program(sys.executable, ("-m", "mcp_server_time", "--local-timezone", "UTC"))) as it:
        assert _names(await it.list()) == {"get_current_time", "convert_time"}
        assert "datetime" in await text(it, "get_current_time", timezone="Europe/Berlin")


@in_loop
async def test_the_git_server_reads_a_repository(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for step in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "Dig the race"]):
        assert await (await asyncio.create_subprocess_exec(*git, *step)).wait() == 0
    async with source(Program(sys.executable, ("-m", "mcp_server_git"))) as it:
        assert "git_log" in _names(await it.list())
        assert "Dig the race" in await text(it, "git_log", repo_path=str(tmp_path))


@in_loop
async def test_the_fetch_server_fetches_a_page() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"<html><body><article><h1>Mill</h1><p>The water runs.</p></article></body></html>"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as web:
        url = f"http://127.0.0.1:{web.sockets[0].getsockname()[1]}/"
        async with source(
            Program(sys.executable, ("-m", "mcp_server_fetch", "--ignore-robots-txt", "--allow-private-ips"))
        ) as it:
            assert _names(await it.list()) == {"fetch"}
            assert "The water runs." in await text(it, "fetch", url=url, raw=True)


@in_loop
async def test_a_question_to_a_database_is_answered_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mill.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE sacks (grain TEXT, kilos REAL)")
        database.executemany("INSERT INTO sacks VALUES (?, ?)", [("rye", 25.0), ("oats", 20.5), ("rye", 30.0)])
    database.close()
    async with source(python("mcp_sqlite.py", str(file))) as it:
        assert "sacks" in await text(it, "list_tables")
        assert "kilos" in await text(it, "describe_table", table="sacks")
        total = await text(it, "read_query", query="SELECT sum(kilos) AS total FROM sacks WHERE grain = 'rye'")
        assert '"total":55.0' in total.replace(" ", "").replace("\n", "")
        wrong = await it.call("read_query", {"query": "SELECT kilos FROM nowhere"}, context())
        assert wrong.is_error
        assert "nowhere" in str(wrong.content)


@in_loop
async def test_twenty_calls_at_once_share_one_pipe() -> None:
    async with source(node("server-everything")) as it:
        answers = await asyncio.gather(*(text(it, "echo", message=f"word {n}") for n in range(20)))
        assert [f"word {n}" in answer for n, answer in enumerate(answers)] == [True] * 20


@in_loop
async def test_a_cancelled_call_leaves_the_connection_to_the_others() -> None:
    async with source(node("server-everything")) as it:
        heard = Heard()
        long = asyncio.ensure_future(
            it.call("trigger-long-running-operation", {"duration": 600, "steps": 600_000}, context(heard))
        )
        await heard.first.wait()
        long.cancel()
        assert "still here" in await text(it, "echo", message="still here")
        assert long.cancelled()


@in_loop
async def test_lists_and_rules_of_the_settings_shape_what_is_offered() -> None:
    settings = ServerSettings(
        node("server-everything"),
        allow=("get-*", "echo"),
        deny=("get-env",),
        timeout=7.0,
        permission="ask",
        tools={"echo": ToolSettings(timeout=3.0, permission="allow")},
    )
    async with source(settings) as it:
        specs = {spec.name: spec for spec in await it.list()}
        assert "get-sum" in specs
        assert not {"get-env", "gzip-file-as-resource"} & specs.keys()
        assert (specs["echo"].timeout, specs["echo"].permission) == (3.0, "allow")
        assert (specs["get-sum"].timeout, specs["get-sum"].permission, specs["get-sum"].source) == (7.0, "ask", "it")
        assert (await it.call("get-env", {}, context())).is_error
