"""Owns tools that run here: the workspace's, those of MCP servers, and an app's own functions.

Does not own when they are called: that is the agent's (``agent/``).
"""
