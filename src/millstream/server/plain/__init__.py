"""Owns plain streaming for apps: chat events over HTTP and WebSocket, and the runs' own endpoints.

Does not own the runs themselves (``server/runs``), nor the events' form (``dialects/chat_events``).
"""
