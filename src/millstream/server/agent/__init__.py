"""Owns the endpoints of agents: runs with tools as agent events, lists of tools, approvals, and the choice of a model.

Does not own the loop (``agent``), the tools (``tools``) nor what keeps a run (``server/runs``).
"""
