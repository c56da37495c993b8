"""docs/configuration.md has every setting, its true default, and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from millstream.config import Config

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
ROW = re.compile(r"^\| `([\w.]+)` \| (?:none|`(.+?)`) \|", re.MULTILINE)


def _settings(struct: type[msgspec.Struct], above: str = "") -> dict[str, Any]:
    """Dotted names → defaults, with NAME for the keys of tables that users name."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        name = f"{above}{field.name}"
        table = get_args(field.type)[1] if get_origin(field.type) is dict else None
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= _settings(field.type, f"{name}.")
        elif isinstance(table, type) and issubclass(table, msgspec.Struct):
            found |= _settings(table, f"{name}.NAME.")
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            found[name] = msgspec.json.decode(msgspec.json.encode(default))
    return found


def _documented() -> dict[str, Any]:
    return {name: tomllib.loads(f"v = {text}")["v"] if text else None for name, text in ROW.findall(PAGE)}


def test_every_setting_is_documented_with_its_default() -> None:
    assert _documented() == _settings(Config)


def test_the_example_is_a_valid_configuration() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    tree = msgspec.convert(tomllib.loads(example[1]), Config)
    assert tree.providers["mine"].base_url == "http://127.0.0.1:9000/v1"
