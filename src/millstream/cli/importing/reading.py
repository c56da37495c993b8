"""Files of other programs: which program's they are, and what they hold."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from typer.exceptions import TyperException

from millstream.cli.importing.result import Imported

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)
_NAMES = ("config.json", "config.toml", "config.yaml", "litellm_config.yaml", "proxy_server_config.yaml")


def imported(path: Path) -> tuple[str, Imported]:
    """The program's name and what its settings are here. Raises ``TyperException`` for what nobody knows."""
    file = _file(path)
    tree = _parsed(file)
    if not isinstance(tree, dict):
        raise TyperException(f"{file} is not a file of settings")
    from millstream.cli.importing import claude_code_router, kimi, litellm

    if "Providers" in tree or "Router" in tree:
        return "claude-code-router", claude_code_router.convert(tree)
    if "model_list" in tree:
        return "LiteLLM", litellm.convert(tree)
    if isinstance(tree.get("providers"), dict) or isinstance(tree.get("models"), dict):
        mcp = path / "mcp.json"
        return "Kimi Code", kimi.convert(tree, _parsed(mcp) if path.is_dir() and mcp.exists() else None)
    raise TyperException(f"{file} is none of claude-code-router, LiteLLM and Kimi Code")


def _file(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_dir():
        return path
    for name in _NAMES:
        if (path / name).is_file():
            return path / name
    raise TyperException(f"{path} holds none of {', '.join(_NAMES)}")


def _parsed(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TyperException(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TyperException(f"{file} is not a file of settings: it is not UTF-8") from error
    try:
        if file.suffix in (".yaml", ".yml"):
            return _yaml(text)
        return tomllib.loads(text) if file.suffix == ".toml" else relaxed_json(text)
    except (ValueError, RecursionError) as error:
        raise TyperException(f"{file} cannot be read: {str(error).splitlines()[0]}") from error


def relaxed_json(text: str) -> Any:
    """JSON with comments and commas too many, as people write it. Raises ``ValueError``."""
    plain = _JSON_TOKEN.sub(lambda found: found[0] if found[0].startswith('"') else "", text)
    # Once more: a comma may have stood before a comment.
    return json.loads(_JSON_TOKEN.sub(lambda found: found[0] if found[0].startswith('"') else "", plain))


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise TyperException("YAML needs a library: pip install 'millstream[import]'") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        # Its message goes on to quote the file, in which there may be keys.
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"not valid YAML (line {mark.line + 1})" if mark else "not valid YAML") from error
