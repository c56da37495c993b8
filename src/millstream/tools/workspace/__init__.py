"""Owns the tools of coding agents on the files of one directory, the workspace, and what keeps them inside it.

Does not own when they are called (``agent/``) nor what is asked before they may be (``agent/``'s approvals).
"""

from millstream.tools.workspace.options import SearchBackend, WorkspaceOptions
from millstream.tools.workspace.source import WorkspaceTools
from millstream.tools.workspace.task import AgentLimits, RunAgent

__all__ = ["AgentLimits", "RunAgent", "SearchBackend", "WorkspaceOptions", "WorkspaceTools"]
