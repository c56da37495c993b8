"""millstream: any model, any client, every token as it happens."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.tools.functions import tool as tool

__version__ = version("millstream")


def __getattr__(name: str) -> Any:
    """What apps use is loaded when it is used: commands start without it."""
    if name == "tool":
        from millstream.tools.functions import tool

        return tool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
