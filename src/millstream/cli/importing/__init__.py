"""Settings of other gateways and agents, as ours: one module for each program, a mapping in, ours and what is left out.

Pure but for ``reading``, which opens files, and ``command``, which writes.
"""
