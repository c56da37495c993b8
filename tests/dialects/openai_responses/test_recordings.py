"""Recorded replies of real providers, judged by the official SDK: what it reads is what the recording says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import Response

from millstream.core import events as ev
from millstream.core.errors import UpstreamFault
from millstream.core.messages import Request
from millstream.dialects.base import ClientCall, ReplyContext
from millstream.dialects.openai_responses import DIALECT
from millstream.testing.dialect import assembled, check_dialect
from millstream.testing.streams import frame_prefixes, parse

Item = dict[str, Any]

FAILED = {"openai/039-responses-error-midstream", "openai/041-responses-error-midstream"}
INCOMPLETE = {"openai/058-responses-length-stop-text"}
NOT_STRICT = {
    "xai/012-responses-server-tools-cached-usage": "xAI's web_search_call has no action, which the SDK's type requires",
}
SHORTENED = {
    "openai/054-responses-server-tools-text": "the recording's deltas were cut by hand; its done events say more",
}


def recordings(corpus: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    for entry in json.loads((corpus / "index.json").read_bytes()):
        if entry["dialect"] == "openai-responses":
            yield entry["path"], corpus / "streams" / entry["path"], entry


def streams(corpus: Path) -> list[tuple[str, bytes, Request]]:
    found = []
    for name, folder, entry in recordings(corpus):
        if (folder / "response.sse").is_file():
            found.append((name, (folder / "response.sse").read_bytes(), request(folder, entry)))
    assert len(found) > 40
    return found


def request(folder: Path, entry: dict[str, Any]) -> Request:
    path = folder / "request.json"
    body = path.read_bytes() if path.is_file() else json.dumps({"model": entry["model"], "input": "hi"}).encode()
    return DIALECT.parse_request(ClientCall(body))


def client(content: bytes, content_type: str, *, strict: bool = True) -> openai.OpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": content_type}, content=content)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(
        api_key="k", base_url="http://x/v1", http_client=http, max_retries=0, _strict_response_validation=strict
    )


def sdk_reads(stream: bytes, *, strict: bool = True) -> Response:
    """The response that the SDK's accumulator has at the end of ``stream``."""
    last: Any = None
    with (
        client(stream, "text/event-stream", strict=strict) as api,
        api.responses.stream(model="m", input="hi") as events,
    ):
        for event in events:
            last = event
    response: Response = last.response
    return response


def frames(stream: bytes) -> list[Item]:
    lines = [line.removeprefix(b"data:").strip() for line in re.split(rb"[\r\n]+", stream) if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def said(items: list[Item]) -> list[Any]:
    """Of each item what the answer is: not ids, which a provider may change, nor states of progress."""
    return [_said(item) for item in items]


def _said(item: Item) -> Any:
    match item["type"]:
        case "message":
            return [_part(part) for part in item["content"]], item.get("phase")
        case "reasoning":
            texts = [entry["text"] for entry in item.get("summary") or item.get("content") or []]
            return "\n\n".join(texts), item.get("encrypted_content")
        case "function_call":
            return item["call_id"], item["name"], item.get("namespace"), item["arguments"]
        case "custom_tool_call":
            return item["call_id"], item["name"], item["input"]
        case _:
            return {name: value for name, value in item.items() if name not in ("id", "status")}


def _part(part: Item) -> Any:
    if part["type"] == "refusal":
        return part["refusal"]
    return part["text"], [_note(note) for note in part.get("annotations", [])], part.get("logprobs") or []


def _note(note: Item) -> Item:
    """xAI names pages by their address only; what the API requires besides is filled in with an empty title."""
    untitled = note["type"] == "url_citation" and not note.get("title")
    return {"type": note["type"], "url": note["url"]} if untitled else note


def dumped(response: Response) -> list[Item]:
    items: list[Item] = json.loads(response.model_dump_json(exclude_unset=True, by_alias=True))["output"]
    for item in items:
        item.pop("parsed_arguments", None)
        for part in item.get("content") or []:
            part.pop("parsed", None)
    return items


def usage(counted: dict[str, Any]) -> dict[str, Any]:
    """The counts with those the API's older versions had no name for."""
    details = {"cache_write_tokens": 0, "cached_tokens": 0, **counted.get("input_tokens_details", {})}
    return {"output_tokens_details": {"reasoning_tokens": 0}, **counted, "input_tokens_details": details}


def test_every_stream_is_read_alike_however_it_is_cut_and_its_truncations_are_faults(corpus: Path) -> None:
    for name, stream, _ in streams(corpus):
        events = check_dialect(DIALECT, stream, seeds=3)
        assert isinstance(events[-1], ev.Fault if name in FAILED else ev.Finish), name


def test_the_sdk_reads_in_what_we_render_what_the_provider_said(corpus: Path) -> None:
    for name, stream, asked in streams(corpus):
        if name in FAILED:
            continue
        rendered = DIALECT.renderer(ReplyContext("resp_x", 1, asked)).render(parse(DIALECT, [stream]))
        response = sdk_reads(rendered, strict=name not in NOT_STRICT)
        recorded = frames(stream)
        items = {frame["output_index"]: frame["item"] for frame in recorded if frame["type"].endswith("item.done")}
        final = recorded[-1]["response"]
        assert response.status == final["status"], name
        assert (name in INCOMPLETE) == (response.status == "incomplete")
        if name not in SHORTENED:
            assert said(dumped(response)) == said([items[index] for index in sorted(items)]), name
        assert response.usage is not None
        assert json.loads(response.usage.model_dump_json(exclude_unset=True)) == usage(final["usage"]), name
        details = response.incomplete_details
        assert (details and details.model_dump(exclude_unset=True)) == final.get("incomplete_details"), name


def test_a_failed_stream_raises_in_the_sdk_with_the_providers_words(corpus: Path) -> None:
    seen = 0
    for name, stream, asked in streams(corpus):
        if name not in FAILED:
            continue
        seen += 1
        rendered = DIALECT.renderer(ReplyContext("resp_x", 1, asked)).render(parse(DIALECT, [stream]))
        with pytest.raises(openai.APIError) as caught:
            sdk_reads(rendered)
        error = frames(stream)[-1]["response"]["error"]
        assert (caught.value.message, caught.value.code) == (error["message"], error["code"])
    assert seen == len(FAILED)


def test_a_stream_cut_anywhere_raises_in_the_sdk(corpus: Path) -> None:
    _, stream, asked = next(entry for entry in streams(corpus) if entry[0].startswith("lmstudio/001"))
    for prefix in frame_prefixes(stream):
        events = parse(DIALECT, [prefix])
        rendered = DIALECT.renderer(ReplyContext("resp_x", 1, asked)).render(events)
        with pytest.raises(openai.APIError, match="cut off"):
            sdk_reads(rendered)


def test_keepalives_anywhere_do_not_disturb_the_sdk(corpus: Path) -> None:
    _, stream, asked = next(entry for entry in streams(corpus) if entry[0].startswith("xai/015"))
    renderer = DIALECT.renderer(ReplyContext("resp_x", 1, asked))
    rendered = renderer.keepalive()
    for event in parse(DIALECT, [stream]):
        rendered += renderer.render([event]) + renderer.keepalive()
    plain = DIALECT.renderer(ReplyContext("resp_x", 1, asked)).render(parse(DIALECT, [stream]))
    assert said(dumped(sdk_reads(rendered))) == said(dumped(sdk_reads(plain)))


def test_every_whole_reply_is_read_and_rendered_as_the_sdks_own_type(corpus: Path) -> None:
    seen = 0
    for name, folder, entry in recordings(corpus):
        path = folder / "response.json"
        if not path.is_file() or entry["status"] >= 400:
            continue
        seen += 1
        recorded = json.loads(path.read_bytes())
        context = ReplyContext("resp_x", 1, request(folder, entry))
        rendered = DIALECT.render_reply(assembled(DIALECT.parse_reply(path.read_bytes())), context)
        with client(rendered, "application/json", strict=True) as api:
            response = api.responses.create(model="m", input="hi")
        output = recorded["output"]
        if isinstance(recorded.get("reasoning"), str):
            thought = {"type": "reasoning", "summary": [{"text": recorded["reasoning"]}]}
            output = [thought, *output]
        assert said(dumped(response)) == said(output), name
        assert response.usage is not None
        assert response.usage.output_tokens == recorded["usage"]["output_tokens"]
    assert seen >= 9


def test_every_recorded_error_is_an_error_with_its_words(corpus: Path) -> None:
    seen = 0
    for name, folder, entry in recordings(corpus):
        if entry["status"] < 400:
            continue
        seen += 1
        body = (folder / "response.json").read_bytes()
        with pytest.raises(UpstreamFault):
            DIALECT.parse_reply(body)
        fault = DIALECT.parse_error(entry["status"], {}, body)
        assert fault.status == entry["status"]
        assert fault.message in body.decode(), name
    assert seen >= 3
