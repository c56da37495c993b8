"""Owns runs: what is generated under an id, kept in a journal, and read by anyone who knows the id, from any number on.

Does not know how a run's events are made (its producer does) nor how they are said (its readers' surfaces do).
"""
