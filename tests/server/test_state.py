"""The gateway's figures: right, of bounded size, and free of what was said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway_site import Site, model_of, run
from raw_upstream import Call
from wires import ChatWire

from millstream.core.errors import ClientFault, Kind, MillstreamError, UpstreamFault
from millstream.core.messages import Usage
from millstream.pipeline import Record
from millstream.policy.routing import Route
from millstream.server.state import percentile
from millstream.server.tally import BUCKET_S, BUCKETS, MOST_MODELS, OTHER, SAMPLES, Tally, summed

WIRE = ChatWire()


def record(model: str = "m", first: float | None = 100.5) -> Record:
    usage = Usage(input_tokens=3, output_tokens=7)
    return Record("id", "openai_chat", model, Route("up", model), usage=usage, first_content_at=first)


def figures(site: Site) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with site.client() as client:
            _, body = await client.ask("GET", "/api/v1/state")
            found: dict[str, Any] = json.loads(body)
            return found

    return run(main())


def test_requests_are_counted_by_their_end_and_by_model(site: Site) -> None:
    async def good(call: Call) -> None:
        await call.stream(*WIRE.answer("the secret word"))

    async def bad(call: Call) -> None:
        await call.answer(400, b'{"error":{"message":"the secret refusal"}}')

    async def main() -> None:
        async with site.upstream(good, bad):
            for status in (200, 400):
                async with site.client() as client:
                    asked = await client.ask("POST", WIRE.path, WIRE.request(model=model_of(WIRE)))
                    assert asked[0] == status

    run(main())
    state = figures(site)
    assert state["requests"] == {"finished": 1, "failed": 1, "cancelled": 0}
    model = next(one for one in state["models"] if one["model"] == model_of(WIRE))
    assert model["samples"] == 1
    assert 0 < model["first_content_ms"]["p50"] <= model["first_content_ms"]["p99"] < 20_000
    provider = next(one for one in state["providers"] if one["name"] == "openai_chat-up")
    assert provider["requests"]["finished"] == 1
    assert provider["last_success"] is not None
    assert sum(bucket["finished"] for bucket in state["recent"]["buckets"]) == 1
    assert "secret" not in json.dumps(state)


def test_a_provider_fails_until_it_answers_again() -> None:
    tally = Tally()
    broken = record(first=None)
    broken.error = UpstreamFault("no", Kind.OVERLOADED, status=529)
    for _ in range(3):
        tally.observe(broken, 529, "failed", 100, 101)
    assert (tally.providers["up"].in_a_row, tally.providers["up"].error) == (3, "overloaded")
    tally.observe(record(), 200, "finished", 100, 102)
    assert tally.providers["up"].in_a_row == 0
    assert tally.errors == {"overloaded": 3}


@pytest.mark.parametrize("error", [ClientFault("no"), UpstreamFault("no", Kind.INVALID_REQUEST, status=400)])
def test_a_clients_own_mistakes_are_not_its_providers(error: MillstreamError) -> None:
    tally = Tally()
    refused = record(first=None)
    refused.error = error
    tally.observe(refused, 400, "failed", 100, 101)
    assert tally.providers["up"].in_a_row == 0
    assert tally.providers["up"].good_at is None


def test_it_takes_bounded_space_whatever_is_asked() -> None:
    tally = Tally()
    for n in range(5 * SAMPLES):
        tally.observe(record(f"m{n}"), 200, "finished", n * BUCKET_S, n * BUCKET_S + 1)
    assert len(tally.models) == MOST_MODELS + 1
    assert len(tally.buckets) == BUCKETS
    assert len(tally.models[f"up/m{0}"].first) == 1
    assert len(tally.models[OTHER].first) == SAMPLES
    assert tally.ends.finished == 5 * SAMPLES


def test_figures_of_several_processes_are_added_up() -> None:
    tallies = [Tally(), Tally()]
    broken = record(first=None)
    broken.error = UpstreamFault("no", Kind.OVERLOADED, status=529)
    tallies[0].observe(broken, 529, "failed", 100, 101)
    tallies[1].observe(record(), 200, "finished", 100, 103)
    tallies[1].observe(record("other"), 200, "finished", 100, 109)
    whole = summed(tallies)
    assert whole.ends.said() == {"finished": 2, "failed": 1, "cancelled": 0}
    assert whole.clients == {"openai_chat": 3}
    assert whole.errors == {"overloaded": 1}
    assert {name: model.ends.finished for name, model in whole.models.items()} == {"up/m": 1, "up/other": 1}
    assert [(bucket.number, bucket.ends.failed, bucket.output_tokens) for bucket in whole.buckets] == [
        (20, 1, 14),
        (21, 0, 7),
    ]
    health = whole.providers["up"]
    assert (health.in_a_row, health.good_at, health.bad_at, health.error) == (0, 109, 101, "overloaded")
    tallies[0].observe(broken, 529, "failed", 100, 110)
    assert summed(reversed(tallies)).providers["up"].in_a_row == 2
    assert tallies[1].ends.finished == 2, "what is added up stays as it is"


@pytest.mark.parametrize(("share", "value"), [(50, 2.0), (95, 4.0), (99, 4.0), (25, 1.0), (1, 1.0)])
def test_percentiles_are_values_that_were_measured(share: int, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == value
