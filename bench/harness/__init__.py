"""Runs the load generator against things under test and prints what was measured.

Owns: what is started where, what is sampled when, and the table. Does not own: the load itself (``bench/load``, in C).
"""
