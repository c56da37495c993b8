"""Owns running programs of others that judge the gateway, in an environment of their own. docs/judges.md explains.

Does not own what they judge, and is never part of the installed package. Runs as ``python -m judges.run``.
"""
