"""Owns what outlives a request: values under a key, each with the moment it may be forgotten, bounded in all.

Does not know what the values mean, nor who may read them: that is for whoever puts them there. Imports nothing of ours.
"""
