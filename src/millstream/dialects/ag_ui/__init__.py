"""Owns AG-UI 1.0: the input that agents of the protocol are run with, and the events of a run. Render-only.

Source: https://docs.ag-ui.com and the npm package ``@ag-ui/core``. A tool that waits for an approval is an interrupt:
the run ends with it, and the next one resumes.

Does not own which run a request is (``server/front``).
"""

NAME = "ag_ui"
