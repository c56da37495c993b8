"""Owns the state of the Responses API: stored replies, background runs, WebSockets.

Only for upstreams that speak another API: one that speaks this one holds its own state. What the format itself says
is the dialect's (``dialects/openai_responses``).
"""
