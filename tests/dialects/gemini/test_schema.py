"""Schemas in the two languages this API knows."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core.errors import ClientFault
from millstream.dialects.gemini.schema import Rendered, takes_nothing, to_json_schema


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "STRING", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "TYPE_UNSPECIFIED", "description": "x"}, {"description": "x"}),
        ({"type": "INTEGER", "nullable": True}, {"type": ["integer", "null"]}),
        ({"type": "STRING", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"anyOf": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        (
            {"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "1"},
            {"type": "array", "items": {"type": "number"}, "minItems": 1},
        ),
        ({"type": "ARRAY", "min_items": 2}, {"type": "array", "minItems": 2}),
        ({"any_of": [{"type": "NULL"}]}, {"anyOf": [{"type": "null"}]}),
        ({"type": "STRING", "example": "e"}, {"type": "string", "examples": ["e"]}),
        (
            {
                "type": "OBJECT",
                "properties": {"type": {"type": "STRING"}},
                "propertyOrdering": ["type"],
                "required": ["type"],
            },
            {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
        ),
        (
            {"type": "OBJECT", "additionalProperties": {"type": "STRING"}, "$defs": {"A": {"type": "ARRAY"}}},
            {"type": "object", "additionalProperties": {"type": "string"}, "$defs": {"A": {"type": "array"}}},
        ),
    ],
)
def test_openapi_becomes_json_schema(written: Any, canonical: Any) -> None:
    assert to_json_schema(written, "p") == canonical


def test_json_schema_stays_as_it_is() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": ["string", "null"],
        "properties": {"a": {"const": 1}, "b": True},
        "oneOf": [{"enum": [1, "OBJECT"]}],
        "additionalProperties": False,
        "default": {"type": "STRING"},
    }
    assert to_json_schema(schema, "p") == schema


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (5, "p"),
        ({"properties": {"a": []}}, "p.properties.a"),
        ({"anyOf": [{}, 5]}, "p.anyOf[1]"),
    ],
)
def test_what_is_no_schema_is_named(schema: Any, path: str) -> None:
    with pytest.raises(ClientFault) as raised:
        to_json_schema(schema, "p")
    assert raised.value.param == path


@pytest.mark.parametrize(
    ("schema", "rendered", "dropped"),
    [
        ({"const": "a"}, {"enum": ["a"]}, set()),
        ({"type": "string", "$schema": "x", "examples": ["y"]}, {"type": "string"}, set()),
        (
            {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 2},
            {"type": "integer"},
            {"schema.exclusiveMinimum", "schema.multipleOf"},
        ),
        ({"not": {}, "if": {}, "then": {}}, {}, {"schema.not", "schema.if", "schema.then"}),
        (
            {"definitions": {"A": {"const": 1}}, "properties": {"a": {"$ref": "#/definitions/A", "description": "d"}}},
            {"$defs": {"A": {"enum": [1]}}, "properties": {"a": {"$ref": "#/$defs/A"}}},
            set(),
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}},
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}},
            set(),
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {}}, "required": ["a"]},
                    {"properties": {"b": {}}, "required": ["a", "b"]},
                ],
                "title": "t",
            },
            {"properties": {"a": {}, "b": {}}, "required": ["a", "b"], "title": "t"},
            set(),
        ),
        (
            {"properties": {"not": {"type": "string"}, "x": True}},
            {"properties": {"not": {"type": "string"}, "x": True}},
            set(),
        ),
    ],
)
def test_what_the_api_does_not_understand_goes_by_name(schema: Any, rendered: Any, dropped: set[str]) -> None:
    found = Rendered(openapi=False)
    assert found.of(schema) == rendered
    assert found.dropped == dropped


@pytest.mark.parametrize(
    ("schema", "rendered"),
    [
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        ({"oneOf": [{"type": "string"}]}, {"anyOf": [{"type": "STRING"}]}),
        ({"const": "a"}, {"enum": ["a"], "type": "STRING"}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "INTEGER"}),
        ({"enum": ["a", None]}, {"enum": ["a"], "type": "STRING", "nullable": True}),
        ({"type": "string", "format": "uri"}, {"type": "STRING"}),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        (
            {"type": "object", "additionalProperties": False, "properties": {"a": True}},
            {"type": "OBJECT", "properties": {"a": {}}},
        ),
        (
            {"$defs": {"A": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/A", "description": "d"}}},
            {"properties": {"a": {"type": "STRING", "description": "d"}}},
        ),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, {"properties": {"a": {}}}),
    ],
)
def test_json_schema_becomes_openapi(schema: Any, rendered: Any) -> None:
    assert Rendered(openapi=True).of(schema) == rendered


def test_a_schema_that_contains_itself_is_cut_where_it_repeats() -> None:
    tree = {"$defs": {"T": {"type": "object", "properties": {"child": {"$ref": "#/$defs/T"}}}}, "$ref": "#/$defs/T"}
    assert Rendered(openapi=True).of(tree) == {"type": "OBJECT", "properties": {"child": {}}}


def test_a_schema_that_grows_without_bounds_is_refused() -> None:
    levels = {f"L{n}": {"properties": {side: {"$ref": f"#/$defs/L{n + 1}"} for side in "abcd"}} for n in range(30)}
    with pytest.raises(ClientFault, match="too large"):
        Rendered(openapi=True).of({"$defs": levels, "$ref": "#/$defs/L0"})


@pytest.mark.parametrize(
    ("schema", "nothing"),
    [
        (None, True),
        ({}, True),
        ({"type": "object"}, True),
        ({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}}, False),
        ({"type": "object", "additionalProperties": {"type": "string"}}, False),
        ({"type": "object", "$ref": "#/$defs/A"}, False),
        ({"anyOf": [{}]}, False),
    ],
)
def test_an_object_without_properties_takes_nothing(schema: Any, nothing: bool) -> None:
    assert takes_nothing(schema) is nothing
