"""Owns MCP servers as sources of tools: their processes and connections, and their results as parts of a message.

Does not own the protocol (the official SDK, extra ``mcp``, imported only when a server is first needed), when tools run
or what becomes of their results. ``sources.py`` is the way in.
"""
