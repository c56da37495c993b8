from typing import Any

import pytest

from millstream.providers.replay.sample import sample


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "example"),
        ({"type": "string"}, "example"),
        ({"type": "STRING"}, "example"),
        ({"type": "string", "enum": ["C", "F"]}, "C"),
        ({"type": "string", "default": "x"}, "x"),
        ({"const": 0}, 0),
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": "number"}, 1),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["string", "null"]}, "example"),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"anyOf": [{"type": "boolean"}, {"type": "string"}]}, True),
        ({"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 1}),
        ({"type": "object", "properties": {"a": {}}}, {}),
        ({"$defs": {"x": {"const": 3}}, "required": ["a"], "properties": {"a": {"$ref": "#/$defs/x"}}}, {"a": 3}),
    ],
)
def test_the_least_value_of_a_schema(schema: dict[str, Any], value: object) -> None:
    assert sample(schema) == value


def test_a_schema_that_contains_itself_ends() -> None:
    endless = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}
    assert sample(endless)["a"]["a"] is not None
