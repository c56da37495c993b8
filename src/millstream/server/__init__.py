"""Owns HTTP on the client's side: routes, credentials, the delivery of streams, start and shutdown.

Does not own what is said (``dialects``) or how an answer comes about (``pipeline``). Streams are raw ASGI.
"""
