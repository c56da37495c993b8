"""What may differ in the matrix, and why. What differs and is not here fails, and so does what no longer differs."""

from __future__ import annotations

FOREIGN_RUN = "a tool that another provider ran is told to Anthropic clients as a thought: what was run, what it found"
PICTURE = "Anthropic's replies have no pictures or sounds: it is told as Markdown"
HALF_CALL = "the arguments were cut off at the length limit and are no JSON: the SDK repairs them, or we wrap them"
CUT_BY_HAND = "the recording's deltas were shortened by hand; its done events say more"
REASONING = "it counts 43 reasoning tokens beside 14 completion tokens, so the first cannot be part of the second"
SHELL = "a local_shell_call is a call for the client to run, which the plain reading does not count as one"
SEVERAL = "the recording's client asked for several answers; this SDK never does, and joins them if it gets some"
FREE_TEXT = "a call of a free-text tool, which this SDK cannot declare on this API: its client never gets one"
NO_IMAGE = "the SDK has no word for the end NO_IMAGE"
COMPACTION = "the SDK shows the summary of a compaction as text, and adds the tokens that it took"

_SEVERAL_ANSWERS = (
    "llamacpp/001-chat-multi-choice-cached-usage",
    "mistral/001-chat-multi-choice-text",
    "openai/004-chat-multi-choice-text",
    "writer/001-chat-multi-choice-text",
)
_ONE_ANSWER_ONLY = ("@ai-sdk/openai chat", "@ai-sdk/openai-compatible", "@ai-sdk/google")

WHY: dict[tuple[str, str, str], str] = {
    **{(name, who, "text"): SEVERAL for name in _SEVERAL_ANSWERS for who in _ONE_ANSWER_ONLY},
    ("anthropic/012-messages-server-tools-cached-usage", "@ai-sdk/anthropic", "text"): COMPACTION,
    ("anthropic/012-messages-server-tools-cached-usage", "@ai-sdk/anthropic", "input_tokens"): COMPACTION,
    ("anthropic/012-messages-server-tools-cached-usage", "@ai-sdk/anthropic", "output_tokens"): COMPACTION,
    ("gemini/001-gemini-content-filter-image-input", "@ai-sdk/google", "stop"): NO_IMAGE,
    ("openai/050-responses-server-tools", "@ai-sdk/openai chat", "error"): FREE_TEXT,
    ("openai/050-responses-server-tools", "@ai-sdk/openai-compatible", "error"): FREE_TEXT,
    ("openai/052-responses-server-tools-reasoning", "@ai-sdk/openai responses", "calls"): SHELL,
    ("openai/054-responses-server-tools-text", "@ai-sdk/openai responses", "calls"): SHELL,
    ("azure/011-responses-server-tools-text", "anthropic", "text"): PICTURE,
    ("deepseek/004-chat-length-stop-tool-args-split", "anthropic (python)", "calls"): HALF_CALL,
    ("deepseek/004-chat-length-stop-tool-args-split", "@anthropic-ai/sdk", "calls"): HALF_CALL,
    ("deepseek/004-chat-length-stop-tool-args-split", "gemini", "calls"): HALF_CALL,
    ("gemini/004-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("gemini/008-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("gemini/010-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("gemini/012-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("gemini/031-gemini-image-output", "anthropic", "text"): PICTURE,
    (
        "gemini/031-gemini-image-output",
        "openai_responses",
        "text",
    ): "Responses have no sounds: that there was one is told",
    ("gemini/033-gemini-image-output-text", "anthropic", "text"): PICTURE,
    ("groq/008-chat-tool-parallel-tool-empty-args", "*", "calls"): "null for a call without arguments is read as {}",
    ("llamacpp/003-chat-length-stop-tool-args-split", "anthropic (python)", "calls"): HALF_CALL,
    ("llamacpp/003-chat-length-stop-tool-args-split", "@anthropic-ai/sdk", "calls"): HALF_CALL,
    ("llamacpp/003-chat-length-stop-tool-args-split", "gemini", "calls"): HALF_CALL,
    ("openai/010-chat-length-stop-tool-args-split", "anthropic (python)", "calls"): HALF_CALL,
    ("openai/010-chat-length-stop-tool-args-split", "@anthropic-ai/sdk", "calls"): HALF_CALL,
    ("openai/010-chat-length-stop-tool-args-split", "gemini", "calls"): HALF_CALL,
    ("openai/047-responses-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("openai/048-responses-server-tools-reasoning", "anthropic", "reasoning"): FOREIGN_RUN,
    ("openai/052-responses-server-tools-reasoning", "anthropic", "stop"): SHELL,
    ("openai/052-responses-server-tools-reasoning", "openai_chat", "stop"): SHELL,
    ("openai/054-responses-server-tools-text", "*", "text"): CUT_BY_HAND,
    ("openai/056-responses-server-tools-reasoning", "anthropic", "reasoning"): FOREIGN_RUN,
    ("vercel-gateway/006-chat-reasoning-text", "*", "output_tokens"): REASONING,
    ("vertex/003-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("xai/012-responses-server-tools-cached-usage", "anthropic", "reasoning"): FOREIGN_RUN,
}
"""(recording, who, field) → why it differs. ``who`` is a reader, a client dialect for all its readers, or ``*``."""

NEVER_TOLD: dict[tuple[str, str], str] = {
    ("@ai-sdk/openai chat", "reasoning"): "OpenAI's own Chat API has no reasoning, and the SDK reads none; "
    "@ai-sdk/openai-compatible does",
}
"""(reader, field) that the SDK does not tell its user, whatever it is sent."""

NOT_WHOLE = {
    "anthropic/044-messages-tool-single-reasoning": "two messages, the first of which never ends",
    "snowflake/001-chat-logprobs-text": "Snowflake never says why an answer ended, so it may have been cut off",
}
"""Recordings that are read as cut off, though they hold no error."""

EVERY_CHUNK_IS_THE_LAST = {"vertex/002-gemini-content-filter-text", "vertex/004-gemini-citations-text"}
"""Mocks that say why the answer ended in each chunk: where they are cut off cannot be told from their end."""
