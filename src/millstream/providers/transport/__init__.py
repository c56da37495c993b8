"""Bytes to and from upstreams over HTTP/1.1: connections and their pool, proxies, TLS, limits of time.

Owns the sockets to upstreams and nothing of what the bytes mean. Answers are *pushed*: what a socket has read goes
through the whole gateway in the callback that read it (see docs/decisions/0008-push-path.md). Errors of sockets and
libraries become ``UpstreamFault`` here and nowhere else.
"""

from millstream.providers.transport.http import HttpReply, HttpTransport, Waits

__all__ = ["HttpReply", "HttpTransport", "Waits"]
