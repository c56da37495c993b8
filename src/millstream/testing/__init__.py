"""Owns what people test their own streams with: conformance checks, ways to cut a stream, an upstream that misbehaves.

Shipped to users; nothing in the package itself imports it.
"""
