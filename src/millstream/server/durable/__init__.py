"""Owns the Durable Streams protocol: byte streams at URLs of their own, that are made, appended to, read, followed and
forked, and the reading of runs by the same words.

https://github.com/durable-streams/durable-streams/blob/main/PROTOCOL.md

Does not know how a journal keeps what is in a stream (``sessions`` does), nor what its bytes mean.
"""
