"""millstream: any model, any client, every token as it happens."""

from importlib.metadata import version

__version__ = version("millstream")
