"""A conversation with a real model, which also finds the intent and proposes what to say next."""

from __future__ import annotations

from pathlib import Path

from gateway_site import run
from talk_site import SESSIONS, Talk, of, text_of

from millstream.config import Config, ConversationConfig, EmbeddedConfig
from millstream.testing.gateway import GatewayThread


def test_a_real_model_talks(model: Path) -> None:
    async def main() -> None:
        own = ConversationConfig(max_tokens=16, aside_timeout=120.0)
        config = Config(default_model="embedded", embedded=EmbeddedConfig(model=str(model)), conversation=own)
        with GatewayThread(config) as gateway:
            there = Talk(gateway)
            events = await there.say("I want to fly from Oslo to Rome on Friday.")
            assert text_of(events)
            end = events[-1]
            assert end["type"] == "complete"
            assert end["model"].startswith("embedded/")
            assert end["usage"]["output_tokens"] > 0
            again = await there.say("How long does it take?", session_id=end["session_id"])
            assert again[-1]["type"] == "complete"
            _, found = await there.ask("GET", f"{SESSIONS}/{end['session_id']}")
            assert [said["content"] for said in found["messages"]][1] == text_of(events)

    run(main(), limit=240.0)


def test_a_real_model_says_what_is_wanted(model: Path) -> None:
    """A small one may fill all its tokens with one string; not four times in a row."""

    async def main() -> None:
        own = ConversationConfig(max_tokens=16, aside_timeout=120.0, suggestions=False)
        config = Config(default_model="embedded", embedded=EmbeddedConfig(model=str(model)), conversation=own)
        with GatewayThread(config) as gateway:
            for _ in range(4):
                found = of(await Talk(gateway).say("I want to fly from Oslo to Rome on Friday."), "context")
                if found:
                    break
            assert found[0]["intent"]

    run(main(), limit=240.0)
