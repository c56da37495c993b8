"""``millstream setup``: from nothing to an agent on a model of one's choice, in steps that can be skipped or repeated.

Owns the order of the steps, their questions, and the shell alias. Keys, settings and calls are the neighbours'.
"""
