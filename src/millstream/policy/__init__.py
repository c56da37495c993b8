"""Owns decisions: who may call, and which upstream a model name means. Pure; counters and clocks are passed in.

Does not own acting on them: the pipeline and the server await, wait and send.
"""
