"""Owns what a conversation says to models: prompts, what their answers mean, how much of the past they are told.

Pure. Does not own who asks models, where conversations are kept, or how they are told to clients.
"""
