"""Tools whose schema Anthropic knows by type but which the client itself runs: bash, editor, memory, computer.

For models of others they become functions with the schema that Anthropic documents, so that the client's own
implementation answers their calls. Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _string(description: str, *values: str) -> Schema:
    return {"type": "string", "description": description, **({"enum": list(values)} if values else {})}


def _integers(description: str) -> Schema:
    return {"type": "array", "items": {"type": "integer"}, "description": description}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


_PATH = _string("Absolute path of a file or directory.")
_EDITING = {
    "path": _PATH,
    "old_str": _string("For str_replace: the text to replace, which must occur exactly once."),
    "new_str": _string("For str_replace: the text to put in its place."),
    "file_text": _string("For create: the whole content of the file."),
    "insert_line": {
        "type": "integer",
        "description": "For insert: the line to insert after; 0 is the beginning.",
    },
    "insert_text": _string("For insert: the text to insert."),
    "view_range": _integers("For view: first and last line, from 1; -1 is the end of the file."),
}
_COMPUTER_ACTIONS = (
    "screenshot",
    "left_click",
    "right_click",
    "middle_click",
    "double_click",
    "triple_click",
    "left_click_drag",
    "left_mouse_down",
    "left_mouse_up",
    "mouse_move",
    "cursor_position",
    "scroll",
    "type",
    "key",
    "hold_key",
    "wait",
    "zoom",
)

_BY_FAMILY: dict[str, tuple[str, Schema]] = {
    "bash": (
        "Run a command in a persistent bash session.",
        _object(
            [],
            command=_string("The command to run. Required unless restarting."),
            restart={"type": "boolean", "description": "Restart the session."},
        ),
    ),
    "text_editor": (
        "View, create and edit files.",
        _object(
            ["command", "path"],
            command=_string("What to do.", "view", "create", "str_replace", "insert", "undo_edit"),
            **_EDITING,
        ),
    ),
    "memory": (
        "Keep notes between conversations, as files below /memories. View the directory before anything else.",
        _object(
            ["command"],
            command=_string("What to do.", "view", "create", "str_replace", "insert", "delete", "rename"),
            **_EDITING,
            old_path=_string("For rename: the present path."),
            new_path=_string("For rename: the new path."),
        ),
    ),
    "computer": (
        "Use a computer's screen, mouse and keyboard. Take a screenshot to see the result of an action.",
        _object(
            ["action"],
            action=_string("What to do.", *_COMPUTER_ACTIONS),
            coordinate=_integers("x and y in pixels."),
            start_coordinate=_integers("For left_click_drag: x and y where it begins."),
            text=_string("For type: the text. For key and hold_key: the keys, as in ctrl+s."),
            scroll_direction=_string("For scroll.", "up", "down", "left", "right"),
            scroll_amount={"type": "integer", "description": "For scroll: how many clicks of the wheel."},
            duration={"type": "number", "description": "For wait and hold_key: seconds."},
            region=_integers("For zoom: x and y of two opposite corners."),
        ),
    ),
}


def known_schema(kind: str, definition: Schema) -> tuple[str, Schema] | None:
    """Description and schema of a tool of the type ``kind`` (``bash_20250124``); None if the provider runs it."""
    family, _, version = kind.rpartition("_")
    found = _BY_FAMILY.get(family) if version.isdigit() else None
    if found is None:
        return None
    description, schema = found
    width, height = definition.get("display_width_px"), definition.get("display_height_px")
    if isinstance(width, int) and isinstance(height, int):
        description += f" The screen is {width}x{height} pixels."
    return description, schema
