"""millstream: any model, any client, every token as it happens."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.app import App as App
    from millstream.app import asgi as asgi
    from millstream.app import user as user
    from millstream.tools.functions import Report as Report
    from millstream.tools.functions import ToolError as ToolError
    from millstream.tools.functions import tool as tool

__version__ = version("millstream")


_HOMES = {
    "App": "millstream.app",
    "asgi": "millstream.app",
    "user": "millstream.app",
    "tool": "millstream.tools.functions",
    "Report": "millstream.tools.functions",
    "ToolError": "millstream.tools.functions",
}


def __getattr__(name: str) -> Any:
    """What apps use is loaded when it is used: commands start without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
