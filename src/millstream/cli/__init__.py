"""Owns the commands: their options, what they print, and the processes they start and stop.

Does not own what a command is about: the gateway is ``server``, settings are ``config``, names are ``registry``.
Those are imported inside the commands, so that ``--help`` and mistyped options answer at once.
"""
