"""Whether a request is one that an official SDK's own types accept, unknown fields included.

Three SDKs describe their requests as ``TypedDict``s, in which type checkers see unknown fields and a validator at run
time does not; so the types are walked here. Google's are pydantic models that forbid unknown fields themselves.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import google.genai.types as google
import pydantic
import typing_extensions
from anthropic.types.beta import BetaContentBlockParam, BetaToolUnionParam
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as Messages
from anthropic.types.beta.message_create_params import MessageCreateParamsStreaming as MessagesStreamed
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionToolUnionParam
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as Completion
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming as CompletionStreamed
from openai.types.responses import ResponseInputContentParam, ResponseInputItemParam, ToolParam
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as Response
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming as ResponseStreamed

_SCALARS: dict[object, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    bool: (bool,),
    type(None): (type(None),),
    bytes: (),
}


def problems(dialect: str, body: Mapping[str, Any]) -> list[str]:
    """What the SDK of ``dialect`` would not have let anyone send, each as ``path: problem``."""
    if dialect == "gemini":
        return _gemini(body)
    plain, streamed = _PARAMS[dialect]
    return list(_check(dict(body), streamed if body.get("stream") else plain, ""))


def fields(dialect: str) -> frozenset[str]:
    """Names of the fields that a request of ``dialect`` may have, as they are written on the wire."""
    if dialect == "gemini":
        return frozenset(_GEMINI)
    return frozenset(_hints(_PARAMS[dialect][1])) - {"betas"}


def generation_fields() -> frozenset[str]:
    """Names of the fields of Gemini's ``generationConfig``."""
    return frozenset(_wire_names(google.GenerationConfig)) | _ONLY_IN_CONFIG.keys()


_PARAMS: dict[str, tuple[Any, Any]] = {
    "anthropic": (Messages, MessagesStreamed),
    "openai_chat": (Completion, CompletionStreamed),
    "openai_responses": (Response, ResponseStreamed),
}


def _check(value: object, hint: Any, path: str) -> Iterable[str]:
    origin = get_origin(hint)
    if isinstance(hint, TypeVar) or hint in (Any, object):
        return ()
    if origin in (Annotated, typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly):
        return _check(value, get_args(hint)[0], path)
    if origin in (Union, types.UnionType):
        return _nearest(value, get_args(hint), path)
    if origin is Literal:
        return () if value in get_args(hint) else [f"{path}: {value!r:.40} is none of {get_args(hint)}"]
    if typing_extensions.is_typeddict(hint):
        return _check_object(value, hint, path)
    if hint in _SCALARS:
        wrong = not isinstance(value, _SCALARS[hint]) or (isinstance(value, bool) and hint is not bool)
        return [f"{path}: {value!r:.60} is no {hint.__name__}"] if wrong else ()
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _check_values(value, get_args(hint)[1], path)
    if isinstance(origin, type) and (issubclass(origin, Iterable) or origin.__name__ == "SequenceNotStr"):
        return _check_items(value, get_args(hint)[0], path)
    if isinstance(hint, type):
        return () if isinstance(value, hint) else [f"{path}: {value!r:.60} is no {hint.__name__}"]
    raise TypeError(f"{path}: a type that this walk does not know: {hint!r}")


def _nearest(value: object, hints: Sequence[Any], path: str) -> list[str]:
    """The problems with the member of a union that ``value`` comes nearest to: the one of its ``type``, else the one
    that is wrong furthest inside."""
    kind = value.get("type") if isinstance(value, dict) else None
    tries: list[tuple[bool, bool, list[str]]] = []
    for hint in hints:
        found = list(_check(value, hint, path))
        if not found:
            return []
        meant = kind is not None and any(kind in names for names in _kinds(hint))
        tries.append((not meant, found[0].startswith(f"{path}: "), found))
    return min(tries, key=lambda one: (one[0], one[1], len(one[2])))[2]


def _kinds(hint: Any) -> Iterable[Sequence[Any]]:
    """The values of ``type`` in a TypedDict."""
    if not typing_extensions.is_typeddict(hint):
        return
    found = _hints(hint).get("type")
    while found is not None and get_origin(found) is not Literal and get_args(found):
        found = get_args(found)[0]
    if get_origin(found) is Literal:
        yield get_args(found)


@cache
def _hints(hint: Any) -> dict[str, Any]:
    return typing_extensions.get_type_hints(hint, include_extras=True)


@cache
def _required(hint: Any) -> frozenset[str]:
    """``Required`` is not seen where annotations are kept as text, as the SDKs keep them."""
    marked = {name for name, one in _hints(hint).items() if get_origin(one) is typing_extensions.Required}
    return frozenset(hint.__required_keys__ | marked)


def _check_object(value: object, hint: Any, path: str) -> Iterable[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r:.60} is no object"
        return
    known = _hints(hint)
    open_to_others = getattr(hint, "__pydantic_config__", {}).get("extra") == "allow"
    for name, inner in value.items():
        at = f"{path}.{name}" if path else name
        if name not in known and open_to_others:
            continue
        if name not in known:
            yield f"{at}: {hint.__name__} has no such field"
        else:
            yield from _check(inner, known[name], at)
    for name in _required(hint):
        if name not in value:
            yield f"{path}.{name}: {hint.__name__} requires it"


def _check_values(value: object, hint: Any, path: str) -> Iterable[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r:.60} is no object"
        return
    for name, inner in value.items():
        yield from _check(inner, hint, f"{path}.{name}")


def _check_items(value: object, hint: Any, path: str) -> Iterable[str]:
    if not isinstance(value, list):
        yield f"{path}: {value!r:.60} is no list"
        return
    for number, inner in enumerate(value):
        yield from _check(inner, hint, f"{path}[{number}]")


_GEMINI: dict[str, Any] = {
    "contents": list[google.Content],
    "systemInstruction": google.Content,
    "tools": list[google.Tool],
    "toolConfig": google.ToolConfig,
    "safetySettings": list[google.SafetySetting],
    "cachedContent": str,
    "labels": dict[str, str],
    "serviceTier": google.ServiceTier,
    "modelArmorConfig": google.ModelArmorConfig,
    "store": bool,
    "generationConfig": dict[str, Any],
}
"""The body of ``generateContent``. The SDK writes it field by field and has no type of the whole."""

_ONLY_IN_CONFIG: dict[str, str] = {"imageConfig": "image_config"}
"""Fields of ``generationConfig`` on the wire that the SDK's type of that name lacks, by their name in its config."""


def _wire_names(model: type[pydantic.BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _gemini(body: Mapping[str, Any]) -> list[str]:
    found = [f"{name}: the API has no such field" for name in body if name not in _GEMINI]
    for name, hint in _GEMINI.items():
        if name in body:
            found += _validated(hint, body[name], name)
    config = dict(body.get("generationConfig") or {})
    apart = {name: config.pop(name) for name in _ONLY_IN_CONFIG if name in config}
    found += _validated(google.GenerateContentConfig, apart, "generationConfig")
    return found + _validated(google.GenerationConfig, config, "generationConfig")


def _validated(hint: Any, value: object, path: str) -> list[str]:
    try:
        pydantic.TypeAdapter(hint).validate_python(value, by_alias=True, by_name=False)
    except pydantic.ValidationError as error:
        return [f"{path}.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []


def kinds(dialect: str) -> frozenset[str]:
    """Every kind of block, part, item and tool that requests of ``dialect`` may hold, by its ``type`` or its field."""
    if dialect == "gemini":
        about = {"thoughtSignature", "partMetadata", "functionDeclarations"}
        return frozenset({*_wire_names(google.Part), *_wire_names(google.Tool)}) - about
    return frozenset(kind for union in _UNIONS[dialect] for hint in _members(union) for kind in _kind_names(hint))


_UNIONS: dict[str, tuple[Any, ...]] = {
    "anthropic": (BetaContentBlockParam, BetaToolUnionParam),
    "openai_chat": (ChatCompletionContentPartParam, ChatCompletionToolUnionParam),
    "openai_responses": (ResponseInputItemParam, ResponseInputContentParam, ToolParam),
}


def _members(union: Any) -> Iterable[Any]:
    if get_origin(union) in (Union, types.UnionType, Annotated):
        for member in get_args(union):
            yield from _members(member)
    else:
        yield union


def _kind_names(hint: Any) -> Iterable[str]:
    return (str(name) for names in _kinds(hint) for name in names[:1])
