"""A conversation with a real model, which also finds the intent and proposes what to say next."""

from __future__ import annotations

from pathlib import Path

from gateway_site import run
from talk_site import SESSIONS, Talk, of, text_of

from millstream.config import Config, ConversationConfig, EmbeddedConfig
from millstream.testing.gateway import GatewayThread


def test_a_real_model_talks_and_its_asides_keep_to_their_form(model: Path) -> None:
    async def main() -> None:
        own = ConversationConfig(max_tokens=16, aside_timeout=120.0)
        config = Config(default_model="embedded", embedded=EmbeddedConfig(model=str(model)), conversation=own)
        with GatewayThread(config) as gateway:
            there = Talk(gateway)
            events = await there.say("I want to fly from Oslo to Rome on Friday.")
            assert text_of(events)
            (context,) = of(events, "context")
            assert context["intent"]
            end = events[-1]
            assert end["type"] == "complete"
            assert end["model"].startswith("embedded/")
            assert end["usage"]["output_tokens"] > 0
            again = await there.say("How long does it take?", session_id=end["session_id"])
            assert again[-1]["type"] == "complete"
            _, found = await there.ask("GET", f"{SESSIONS}/{end['session_id']}")
            assert [said["content"] for said in found["messages"]][1] == text_of(events)

    run(main(), limit=240.0)
