"""``/docs``: the OpenAPI document for people, as one page of plain HTML. No script, nothing from elsewhere, so that it
works offline and wherever the gateway is mounted."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any

_STYLE = files("millstream.server.openapi").joinpath("page.css").read_text(encoding="utf-8")
_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_PLACE = re.compile(r"\{(\w+)\}")
_CODE = re.compile(r"`([^`]+)`")
Schema = Mapping[str, Any]


def page(document: Mapping[str, Any], base: str) -> str:
    """``base`` is the gateway's own address, for the examples."""
    return "".join(_page(document, base))


def _page(document: Mapping[str, Any], base: str) -> Iterator[str]:
    info, schemas = document["info"], document["components"]["schemas"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>millstream: endpoints for apps</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
    yield f"<header><h1>millstream <small>{escape(info['version'])}</small></h1>"
    yield from (f"<p>{_prose(part)}</p>" for part in info["description"].split("\n\n"))
    yield '<p><a href="openapi.json">openapi.json</a></p></header><nav aria-label="Endpoints">'
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2><ul>"
        for method, path, operation in _operations(document, tag["name"]):
            yield f'<li><a href="#{operation["operationId"]}">{_verb(method)} {escape(path)}</a></li>'
        yield "</ul>"
    yield '<h2>Types</h2><ul><li><a href="#types">All of them</a></li></ul></nav><main>'
    for tag in document["tags"]:
        yield f"<section><h2>{escape(tag['name'])}</h2><p>{_prose(tag['description'])}</p>"
        for method, path, operation in _operations(document, tag["name"]):
            yield from _operation(method, path, operation, base)
        yield "</section>"
    yield '<section id="types"><h2>Types</h2>'
    for name, schema in schemas.items():
        yield from _type(name, schema)
    yield "</section></main></body></html>"


def _operations(document: Mapping[str, Any], tag: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield method, path, operation


def _operation(method: str, path: str, operation: Mapping[str, Any], base: str) -> Iterator[str]:
    yield f'<article id="{operation["operationId"]}"><h3>{escape(operation["summary"])}</h3>'
    yield f"<p class=call>{_verb(method)} <code>{escape(path)}</code></p>"
    if "description" in operation:
        yield f"<p>{_prose(operation['description'])}</p>"
    if "parameters" in operation:
        yield "<table><caption>Parameters</caption><thead><tr><th>Name<th>In<th>Meaning</thead><tbody>"
        for one in operation["parameters"]:
            about = f"{_prose(one['description'])} <small>{_kind(one['schema'])}</small>"
            yield f"<tr><td><code>{escape(one['name'])}</code><td>{one['in']}<td>{about}"
        yield "</tbody></table>"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        yield f"<p>Body: {_kind(content['schema'])}</p>"
    for status, response in operation["responses"].items():
        if status.endswith("XX"):
            continue
        for media_type, answer in response.get("content", {}).items():
            yield f"<p>Answer: <code>{media_type}</code>. {_answer(answer)}</p>"
        if "content" not in response:
            yield f"<p>{status}: {_prose(response['description'])}</p>"
    yield f"<pre tabindex=0>{escape(_curl(method, path, content, base))}</pre></article>"


def _answer(content: Mapping[str, Any]) -> str:
    if "schema" in content:
        return _kind(content["schema"])
    if "itemSchema" not in content:
        return ""
    event = content["itemSchema"].get("properties", {}).get("data")
    if event is None:
        return "An object a line."
    data = event.get("anyOf", [event])[0]
    return f"Each event: {_kind(data['contentSchema'])}" + (
        ", and <code>[DONE]</code> last" if "anyOf" in event else ""
    )


def _curl(method: str, path: str, content: Mapping[str, Any] | None, base: str) -> str:
    call = ["curl", "-N", base + _PLACE.sub(lambda place: place[1].upper(), path)]
    if method == "head":
        call[1:2] = ["-I"]
    elif method in ("delete", "put"):
        call[1:2] = ["-X", method.upper()]
    if content is None:
        return shlex.join(call)
    body = shlex.quote(json.dumps(content.get("example", {})))
    return f"{shlex.join(call)} \\\n  -H 'content-type: application/json' \\\n  -d {body}"


def _type(name: str, schema: Schema) -> Iterator[str]:
    yield f'<article id="type-{escape(name)}"><h3>{escape(name)}</h3><p>{_prose(schema.get("description", ""))}</p>'
    yield "<table><thead><tr><th>Field<th>Type<th>Meaning</thead><tbody>"
    required = schema.get("required", [])
    for field, kind in schema.get("properties", {}).items():
        optional = "" if field in required else " <small>may be missing</small>"
        about = _prose(kind.get("description", ""))
        yield f"<tr><td><code>{escape(field)}</code>{optional}<td>{_kind(kind)}<td>{about}"
    yield "</tbody></table></article>"


def _kind(schema: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#type-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}" if schema.get("items") else "list"
    return escape(str(schema.get("type", "any JSON")))


def _verb(method: str) -> str:
    return f'<b class="{method}">{method.upper()}</b>'


def _prose(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))
