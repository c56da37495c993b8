"""Owns conversations as apps have them: who talks, what is kept of it, the answer with its asides, the endpoints.

Does not own prompts (``millstream.conversation``), how a conversation is kept (``sessions.history``), or runs.
"""
