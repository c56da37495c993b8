"""Stock npm clients that resume, on a wire that breaks hundreds of times: what each has in the end is the journal."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from chaos_proxy import chaos
from gateway_site import run
from plain_site import WIRE, kept_entries
from raw_upstream import Call, RawUpstream
from tools import Tools, says

from millstream.config import Config, ProviderConfig, RunsConfig, SessionsConfig, ToolsConfig
from millstream.core.run_events import RunEntry
from millstream.dialects.ag_ui.render import AgUiView
from millstream.dialects.ui_messages.render import UiMessageView
from millstream.testing.gateway import GatewayThread

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
LIMIT_S = 120
CUTS = 150
HEAD = 800
"""Bytes that a response's head and a first event fit into: without them these clients have nothing to go on with."""

HELD_AT = 250
HELD_BYTES = 12_000
"""Fewer than a replay has where the answer is held."""


def _pieces(seed: int, count: int) -> list[str]:
    source = random.Random(seed)
    return ["".join(source.choices('ab \n"\\ü🎈', k=source.randint(1, 12))) for _ in range(count)]


def _node() -> str:
    found = next((str(one) for one in MODULES.glob("node-*/bin/node")), None)
    if found is None or not (MODULES / ".package-lock.json").is_file() or shutil.which("npm") is None:
        pytest.skip("the stock clients are not installed: make test installs them where npm is")
    return found


def _play(
    name: str, seed: int, least: int, most: int, *, held: bool, pieces: int, compressed: bool = False, cuts: int = CUTS
) -> tuple[dict[str, Any], list[RunEntry], str, int]:
    """What client ``name`` has, what the journal says, the text that the model said, and how often the wire was cut.
    ``held``: the answer goes on once the wire is good."""
    program = _node()
    said = _pieces(seed, pieces)

    async def main() -> tuple[dict[str, Any], list[RunEntry], int]:
        async def asks(call: Call) -> None:
            asked = [WIRE.text(0, "Let me look.", first=True), WIRE.tool(1, "c", "weather")]
            asked += [WIRE.arguments(1, '{"city":'), WIRE.arguments(1, '"Rome"}'), WIRE.end("tools")]
            await call.stream(WIRE.start(), *asked)

        async def answers(call: Call) -> None:
            await call.head()
            await call.send(WIRE.start())
            for number, piece in enumerate(said):
                await call.send(WIRE.text(0, piece, first=number == 0))
                if held and number == HELD_AT:
                    await proxy.healed.wait()
            await call.send(WIRE.close(0) + WIRE.end())
            await call.end()

        async with RawUpstream(asks, answers) as upstream:
            config = Config(
                providers={"up": ProviderConfig(dialect="openai_chat", base_url=upstream.url + "/v1")},
                default_model="up/m",
                sessions=SessionsConfig(store="memory"),
                tools=ToolsConfig(permissions={}),
                runs=RunsConfig(compression=compressed),
            )
            tools = Tools().add("weather", says("sun"))
            with GatewayThread(config, tools=[tools]) as gateway:
                async with chaos(gateway.address, seed, cuts, least=least, most=most) as proxy:
                    wire, base = ("http://{}:{}".format(*address) for address in (proxy.address, gateway.address))
                    command = [program, str(HERE / "breaking.mjs"), name, wire, base]
                    done = await asyncio.to_thread(
                        subprocess.run, command, capture_output=True, text=True, timeout=LIMIT_S, check=False
                    )
                assert done.returncode == 0, done.stderr
                found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
                assert "broken" not in found, found["broken"]
                assert tools.calls == [("weather", {"city": "Rome"})], "one run, however often it was asked for"
                return found, await kept_entries(gateway.address, found["replay"]["id"]), proxy.cuts

    return *(result := run(main(), LIMIT_S))[:2], "".join(said), result[2]


def _text(parts: list[dict[str, Any]], key: str) -> str:
    return "".join(part[key] for part in parts if part["type"] == "text")


def _never(_: str) -> bool:
    return False


@pytest.mark.parametrize("name", ["react", "vue"])
def test_a_chat_that_resumes_shows_what_the_journal_has(name: str) -> None:
    """It reads the whole of it anew each time: the wire cuts anywhere, also in a response's head."""
    found, journal, said, cuts = _play(name, 1, 0, HELD_BYTES, held=True, pieces=500)
    assert cuts == CUTS
    assert found["loads"] > CUTS // 3
    replay = found["replay"]
    view = UiMessageView(replay["id"], replay["id"], _never)
    assert replay["chunks"] == [json.loads(chunk) for _, _, chunk in view.chunks(journal)]
    asked, answer = found["messages"]
    assert (asked["role"], answer["role"], answer["id"]) == ("user", "assistant", replay["id"])
    assert answer["parts"] == replay["parts"]
    assert _text(answer["parts"], "text") == "Let me look." + said


@pytest.mark.parametrize(("seed", "compressed"), [(2, False), (3, True)])
def test_the_workflow_transport_gets_each_chunk_of_the_journal_once(seed: int, *, compressed: bool) -> None:
    most = HEAD + (200 if compressed else 800)
    found, journal, said, cuts = _play("workflow", seed, HEAD, most, held=False, pieces=2000, compressed=compressed)
    assert cuts > (10 if compressed else CUTS // 3)  # in few large pieces it is small
    assert compressed or found["places"] > CUTS // 6, "what came before a cut counts"
    replay = found["replay"]
    view = UiMessageView(replay["id"], replay["id"], _never)
    assert found["chunks"] == [json.loads(chunk) for _, _, chunk in view.chunks(journal)]
    assert found["messages"][-1]["parts"] == replay["parts"]
    assert _text(replay["parts"], "text") == "Let me look." + said


@pytest.mark.parametrize(("seed", "compressed"), [(4, False), (5, True)])
def test_tanstacks_client_gets_each_event_of_the_journal_once(seed: int, *, compressed: bool) -> None:
    most = HEAD + (200 if compressed else 1400)
    found, journal, said, cuts = _play("tanstack", seed, HEAD, most, held=False, pieces=1500, compressed=compressed)
    assert cuts > (10 if compressed else CUTS // 3)  # in few large pieces it is small
    assert compressed or found["places"] > CUTS // 6, "what came before a cut counts"
    assert not found["errors"]
    _check_events(found, journal, said)


def test_tanstacks_client_is_content_where_only_the_responses_end_was_cut_off() -> None:
    found, journal, said, _ = _play("late", 6, HEAD, HEAD, held=False, pieces=5, cuts=0)
    assert found["places"] == 1, "it came back with the place of the last event"
    assert not found["errors"]
    assert found["chunks"][-1] == found["chunks"][-2]
    _check_events(found, journal, said)


def _check_events(found: dict[str, Any], journal: list[RunEntry], said: str) -> None:
    replay = found["replay"]
    if found["chunks"][-1] == found["chunks"][-2]:
        found["chunks"].pop()  # the end was said again, as the wire broke between it and the response's
    assert found["chunks"] == replay["chunks"]
    kept = [json.loads(chunk) for _, _, chunk in AgUiView(replay["id"], replay["id"], "t", _never).chunks(journal)]
    kept[-1].pop("usage")  # the client puts it in terms of its own
    assert [{name: got.get(name) for name in told} for got, told in zip(found["chunks"], kept, strict=True)] == kept
    assert found["messages"][-1]["parts"] == replay["parts"]
    assert _text(replay["parts"], "content") == "Let me look." + said
