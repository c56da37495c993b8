"""The examples for React, built and served by Vite as their users do it, before a gateway whose model says what the
test tells it to."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gate import Gate
from loose_wire import LooseWire
from playwright.sync_api import expect
from prompted import Prompted
from tools import Tools

from millstream.config import Config, ProviderConfig, ToolsConfig
from millstream.testing.gateway import GatewayThread
from millstream.tools.base import ToolContext

ROOT = Path(__file__).parents[3]
NODES = ROOT / "tests/front/node_modules"
_LIMIT_S = 120
expect.set_options(timeout=20_000)  # on a busy machine
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


async def _pay(arguments: Mapping[str, Any], context: ToolContext) -> str:
    return f"{arguments['amount']} paid"


@pytest.fixture(scope="module")
def model() -> Generator[Prompted]:
    with Prompted() as found:
        yield found


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def gateway(model: Prompted, gate: Gate) -> Generator[GatewayThread]:
    provider = ProviderConfig(dialect="openai_chat", base_url=model.url, default_model="m")
    config = Config(providers={"up": provider}, default_model="up/m", tools=ToolsConfig())
    house = Tools("house").add("survey", gate.work).add("pay", _pay, permission="ask")
    with GatewayThread(config, tools=[house]) as found:
        yield found


@pytest.fixture(scope="module")
def served(gateway: GatewayThread, tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[[str], LooseWire]]:
    """Builds the example of that name and serves it; gives the wire to it."""
    with ExitStack() as running:

        def serve(name: str) -> LooseWire:
            folder = ROOT / "examples" / name
            node = next(NODES.glob("node-*/bin/node"), None)
            vite = folder / "node_modules/vite/bin/vite.js"
            if node is None or not vite.is_file():
                pytest.skip("the examples' packages are not installed: make test installs them where npm is")
            command = [str(node), str(vite)]
            out = ["--outDir", str(tmp_path_factory.mktemp(name))]
            environ = {**os.environ, "MILLSTREAM": gateway.url, "NO_COLOR": "1"}
            subprocess.run([*command, "build", *out], cwd=folder, check=True, timeout=_LIMIT_S, capture_output=True)
            preview = [*command, "preview", *out, "--host", "127.0.0.1", "--port", "0"]
            process = running.enter_context(
                subprocess.Popen(preview, cwd=folder, env=environ, text=True, stdout=subprocess.PIPE)
            )
            running.callback(process.terminate)
            assert process.stdout is not None
            found = next(filter(None, map(_ADDRESS.search, process.stdout)), None)
            assert found is not None, "Vite serves nothing"
            return running.enter_context(LooseWire(("127.0.0.1", int(found[1]))))

        yield serve


@pytest.fixture(autouse=True)
def _quiet(model: Prompted) -> Generator[None]:
    """What the model was asked, the test knows of."""
    yield
    quiet = model.is_quiet()
    model.forget()
    assert quiet, "the model was asked more than the test knows of"
