"""Owns the words everything else is said in: requests, events, faults, and the rules of a stream.

Does not own any dialect's wire format, any I/O, the clock or randomness. Imports nothing of ours and no asyncio.
"""
