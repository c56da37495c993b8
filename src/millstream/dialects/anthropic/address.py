"""Where a request goes and what of that stands in its body: on Vertex AI the model is in the URL, the version is not a
header. Source: https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai
"""

from __future__ import annotations

import msgspec

from millstream.core.errors import ClientFault
from millstream.dialects.anthropic.quirks import AnthropicQuirks
from millstream.dialects.base import Target, path_with

_VERSION = "anthropic_version"


def quirks_of(target: Target) -> AnthropicQuirks:
    return target.quirks if isinstance(target.quirks, AnthropicQuirks) else AnthropicQuirks()


def addressed(body: bytes, target: Target) -> tuple[str, bytes]:
    """Path and body of a request whose ``body`` names the upstream's model."""
    quirks = quirks_of(target)
    path = (quirks.stream_path if target.stream else None) or quirks.messages_path
    return path_with(path, target.model), _placed(body, quirks, model="{model}" not in path)


def addressed_count(body: bytes, target: Target) -> tuple[str, bytes]:
    """The same for a request that is only to be counted: its body always names the model."""
    quirks = quirks_of(target)
    return quirks.count_path, _placed(body, quirks, model=True)


def _placed(body: bytes, quirks: AnthropicQuirks, *, model: bool) -> bytes:
    if model and quirks.version_in_body is None:
        return body
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientFault(f"the request body is not a JSON object: {error}") from error
    if quirks.version_in_body is not None:
        fields.setdefault(_VERSION, msgspec.Raw(msgspec.json.encode(quirks.version_in_body)))
    if not model:
        fields.pop("model", None)
    return msgspec.json.encode(fields)
