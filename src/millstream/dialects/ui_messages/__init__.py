"""Owns the AI SDK's UI message stream: what ``useChat`` posts, and the parts it reads. Render-only.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol and the schemas of the npm package ``ai``. A part of a type
that a client does not know makes it throw, so what the protocol has no part for is a ``data-*`` part, always.

Does not own which run a chat is at (``server/front``).
"""

NAME = "ui_messages"
