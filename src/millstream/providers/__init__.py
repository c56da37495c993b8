"""Owns moving bytes to and from upstreams: the catalog, credentials, HTTP, the model in this process, recordings.

Does not own what the bytes mean (``dialects``) or which upstream is chosen (``policy``).
"""
