"""Owns ``millstream chat``: asking the gateway, showing its answer while it comes, and the conversation around it.

Does not own the gateway (``cli.gateway`` finds or starts it) or the wire (``dialects`` render and parse it). The way of
an answer: ``call`` with its ``wires`` (question → events), ``meter`` (what it took), ``showing`` and ``view`` with its
``blocks`` and ``markdown`` (events → lines), ``painter`` (lines → terminal). ``session`` leads all this.
"""
