"""Owns what is told about requests to people and machines that watch: logs.

Does not own any decision, and never sees a key or a prompt.
"""
