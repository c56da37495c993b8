"""Owns the ``replay`` provider: upstreams that answer by a script or a recording, and fail where the script says so.

Does not own what bytes mean (the dialects parse and render). docs/replay.md is the reference of the files.

A request's way: ``library`` (name → file → ``reading`` → ``scenario``), ``selection`` (which reply), ``content`` (its
bytes in the dialect, with ``recording`` and ``sample``), ``plan`` (when which of them leave), all led by ``player``;
``transport`` plays the plan inside this process, ``server`` with its ``connection`` on a real socket.
"""

from millstream.providers.replay.transport import ReplayTransport

__all__ = ["ReplayTransport"]
