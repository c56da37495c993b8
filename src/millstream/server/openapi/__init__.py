"""Owns what is told of the endpoints for apps: ``/openapi.json`` and the page ``/docs``, both made of the types that
the endpoints read and write.

Does not own the endpoints, nor what model APIs look like: those have documents of their makers.
"""
