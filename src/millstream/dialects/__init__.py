"""Owns the wire formats: what each API's requests, streams, replies and errors look like, in both directions.

Does not own sockets, time, randomness or policy: everything here is a pure function or a sans-I/O object, and ids and
times arrive as arguments. A dialect imports ``core`` and ``dialects.base``, never a sibling.
"""
