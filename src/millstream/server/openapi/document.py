"""The OpenAPI document, of the operations and the types that they name.

https://spec.openapis.org/oas/v3.2.0.html, the first version that can tell of the events of a stream.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from millstream import __version__
from millstream.server.openapi.operation import SSE, Operation, Parameter
from millstream.server.openapi.operations import TAGS

_REF = "#/components/schemas/{name}"
_ABOUT = """What apps use of a millstream gateway: streams that can be taken up again, agents with tools.

The APIs of OpenAI, Anthropic and Gemini are served beside these, as their makers describe them."""


def document(operations: Sequence[Operation], at: str = "") -> dict[str, Any]:
    """For a gateway that is mounted at the path ``at``."""
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas)
    used = {operation.tag for operation in operations}
    return {
        "openapi": "3.2.0",
        "info": {"title": "millstream", "version": __version__, "description": _ABOUT},
        "servers": [{"url": at or "/"}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }


class _Schemas:
    """JSON schemas of all types that ``operations`` name. A union of events is found under its members."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        said = [(one.body, one.answer, one.events, one.failure) for one in operations]
        self._kinds = list(dict.fromkeys(kind for kinds in said for kind in kinds if kind is not None))
        found, self.components = msgspec.json.schema_components(self._kinds, ref_template=_REF)
        self._found = list(found)
        for kind in {member for one in self._kinds for member in (get_args(one) or (one,))}:
            self.components[kind.__name__]["description"] = _one_line(inspect.getdoc(kind))

    def of(self, kind: Any) -> dict[str, Any]:
        return self._found[self._kinds.index(kind)]


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": _responses(operation, schemas),
    }
    if operation.about:
        said["description"] = operation.about
    if operation.parameters:
        said["parameters"] = [_parameter(one) for one in operation.parameters]
    if operation.body is not None:
        content: dict[str, Any] = {"schema": schemas.of(operation.body)}
        if operation.example is not None:
            content["example"] = operation.example
        said["requestBody"] = {"required": True, "content": {"application/json": content}}
    elif operation.takes:
        said["requestBody"] = {"content": {kind: {} for kind in operation.takes}}
    return said


def _parameter(parameter: Parameter) -> dict[str, Any]:
    said = {"name": parameter.name, "in": parameter.place, "description": parameter.about, "schema": parameter.schema}
    return said | {"required": True} if parameter.place == "path" else said


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    said: dict[str, Any] = {}
    content = _content(operation, schemas)
    if content:
        said["200"] = {"description": "The answer.", "content": content}
    said |= {status: {"description": about} for status, about in operation.statuses.items()}
    if operation.nothing:
        said["204"] = {"description": "Nothing is left to read."}
    said["4XX"] = {"description": "The request cannot be answered, for the reason that is given."}
    said["5XX"] = {"description": "The gateway, or the model behind it, failed."}
    if operation.failure is not None:
        failed: dict[str, Any] = {"application/json": {"schema": schemas.of(operation.failure)}}
        said["4XX"]["content"] = failed | ({SSE: content[SSE]} if operation.refused_as_event else {})
        said["5XX"]["content"] = failed
    return said


def _content(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    if operation.events is not None:
        return {SSE: {"itemSchema": _event(schemas.of(operation.events), done=operation.done)}}
    if operation.answer is not None:
        return {"application/json": {"schema": schemas.of(operation.answer)}}
    if operation.lines is not None:
        return {operation.lines: {"itemSchema": {"type": "object"}}}
    return {kind: {} for kind in operation.kinds}


def _event(data: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
    """A server-sent event whose data are JSON, or ``[DONE]`` where that ends them.

    https://spec.openapis.org/oas/v3.2.0.html#special-considerations-for-text-event-stream-content
    """
    text: dict[str, Any] = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    if done:
        text = {"anyOf": [text, {"const": "[DONE]"}]}
    return {"type": "object", "properties": {"data": text}, "required": ["data"]}


def _one_line(text: str | None) -> str:
    return " ".join((text or "").replace("``", "`").split())
