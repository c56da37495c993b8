"""The embedded model drives a tool loop: a forced call is bound by the tool's own schema, as a grammar."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from played import Taken, asked, played, scenario
from tools import Tools, says

from millstream.agent.run import AgentOptions, AgentRun
from millstream.agent.toolbox import Toolbox
from millstream.core import run_events as app
from millstream.core.messages import ToolChoice
from millstream.pipeline import Record
from millstream.providers.embedded import EmbeddedOptions, EmbeddedTransport
from millstream.upstream import Upstream

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}


def test_a_forced_call_runs_and_its_result_is_answered(model: Path) -> None:
    async def main() -> None:
        transport = EmbeddedTransport(EmbeddedOptions(slots=1))
        gateway, _ = played(scenario({"text": ""}), "openai_chat")
        provider = gateway.upstreams["openai_chat"].provider
        gateway = replace(gateway, upstreams={"openai_chat": Upstream(provider, transport)})
        tools = Tools().add("weather", says("sun"), SCHEMA)
        request = asked(
            "openai_chat/m", "Weather in Oslo?", tool_choice=ToolChoice("any"), temperature=0.0, max_tokens=60
        )
        taken, record = Taken(), Record("r", "test")
        try:
            async with asyncio.timeout(120):
                await AgentRun(gateway, Toolbox([tools]), AgentOptions(max_iterations=2), request, record).run(taken)
        finally:
            await transport.aclose()
        assert record.error is None
        assert tools.calls[0][0] == "weather"
        assert tools.calls[0][1]["city"] in ("Rome", "Oslo")
        assert not taken.of(app.ToolRunEnd)[0].is_error
        assert [step.number for step in taken.of(app.StepStart)] == [1, 2]

    asyncio.run(main())
