"""Owns the endpoints of stock front ends: ``useChat`` and its kin at ``/api/chat``, AG-UI at ``/agui``.

Does not own how a run is said (``dialects/ui_messages``, ``dialects/ag_ui``) nor the loop that makes it (``agent``).
"""
