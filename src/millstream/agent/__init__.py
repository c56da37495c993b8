"""Owns the loop in which a model and the tools that run here take turns, stitched into one reply.

``loop.py`` decides and ``run.py`` acts. Does not own the tools (``tools/``) nor a single model call (``pipeline``).
"""
