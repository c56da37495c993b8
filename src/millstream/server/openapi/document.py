"""The OpenAPI document, of the operations and the types that they name.

https://spec.openapis.org/oas/v3.2.0.html, the first version that can tell of the events of a stream.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from millstream import __version__
from millstream.server.openapi import shapes
from millstream.server.openapi.operations import SSE, TAGS, Operation, Parameter

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
        kinds = [k for one in operations for k in (one.body, one.answer, one.events) if k is not None]
        self._kinds = [*kinds, shapes.Error]
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
    return said


def _parameter(parameter: Parameter) -> dict[str, Any]:
    said = {"name": parameter.name, "in": parameter.place, "description": parameter.about, "schema": parameter.schema}
    return said | {"required": True} if parameter.place == "path" else said


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    content: Mapping[str, Any]
    if operation.events is not None:
        content = {SSE: {"itemSchema": _event(schemas.of(operation.events))}}
    elif operation.answer is not None:
        content = {"application/json": {"schema": schemas.of(operation.answer)}}
    else:
        content = {operation.lines or "text/plain": {"itemSchema": {"type": "object"}}}
    failed: dict[str, Any] = {"application/json": {"schema": schemas.of(shapes.Error)}}
    said: dict[str, Any] = {"200": {"description": "The answer.", "content": content}}
    if operation.nothing:
        said["204"] = {"description": "Nothing is left to read."}
    refused = failed | ({SSE: content[SSE]} if operation.refused_as_event else {})
    said["4XX"] = {"description": "The request cannot be answered, for the reason that is given.", "content": refused}
    said["5XX"] = {"description": "The gateway, or the model behind it, failed.", "content": failed}
    return said


def _event(data: Mapping[str, Any]) -> dict[str, Any]:
    """A server-sent event whose data are JSON.

    https://spec.openapis.org/oas/v3.2.0.html#special-considerations-for-text-event-stream-content
    """
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {"type": "object", "properties": {"data": text}, "required": ["data"]}


def _one_line(text: str | None) -> str:
    return " ".join((text or "").replace("``", "`").split())
