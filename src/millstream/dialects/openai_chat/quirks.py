"""How providers of Chat Completions depart from OpenAI's, for requests rendered by this gateway.

The defaults are OpenAI's own API. A client of this same API is passed through untouched, so these matter where a
request is written anew. Names of models are shell patterns (``gpt-5*``).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from millstream.dialects.base import Quirks

ReasoningStyle = Literal["none", "always", "effort", "openrouter", "thinking", "template"]


class OpenAIChatQuirks(Quirks, frozen=True, forbid_unknown_fields=True, kw_only=True):
    path: str = "/chat/completions"
    """Appended to the base URL. Azure's older API has the deployment in it, ``{model}``, and a query."""

    system_role: Literal["system", "developer"] = "system"
    """Role of the system prompt. OpenAI takes ``system`` for every model, ``developer`` not for all."""

    leading_system_only: bool = False
    """System messages after the first message are refused, mostly by a model's chat template (Qwen, Mistral, Gemma on
    llama.cpp, vLLM, LM Studio): they become the user's, within ``<system-reminder>``."""

    alternate_roles: bool = False
    """Two messages of the user in a row are refused by the chat templates of some models: they become one."""

    user_after_tool: bool = True
    """The user may speak directly after a tool. Mistral answers 400 ("Unexpected role 'user' after role 'tool'"), as do
    its models' templates elsewhere: the assistant is then made to say a word between."""

    images: bool = True
    """The models see images. Otherwise a request with one is refused, one in a tool's result replaced by a note."""

    tool_images: bool = False
    """Images may be within a tool's result; otherwise they follow as the user's."""

    audio: bool = True
    """``input_audio`` parts are taken."""

    video: bool = False
    """``video_url`` parts are taken: Moonshot, OpenRouter, vLLM."""

    files: Literal["none", "data", "url"] = "data"
    """``file`` parts (PDF) are taken: with their data (OpenAI), also by URL (OpenRouter), or not at all (most)."""

    cache_control: bool = False
    """Parts and tools may say where a cached prefix ends, in Anthropic's way: OpenRouter."""

    prefill: Literal["as_is", "prefix", "partial", "continue_final_message"] = "as_is"
    """How a last message of the assistant's is marked as the beginning of its answer: ``prefix`` for Mistral and
    DeepSeek (beta), ``partial`` for Moonshot, two fields of the request for vLLM."""

    prefill_path: str | None = None
    """Where requests with such a beginning go, if not to ``path``: DeepSeek."""

    reasoning: ReasoningStyle | dict[str, ReasoningStyle] = "effort"
    """How the amount of thinking is said: ``effort`` in ``reasoning_effort``; ``openrouter`` in ``reasoning``;
    ``thinking: {type}`` (Moonshot, DeepSeek, Z.ai); ``template`` in ``chat_template_kwargs.enable_thinking`` (vLLM,
    llama.cpp with Qwen or GLM). Models that think ``always`` cannot be told; those that do so never (``none``) may not
    be shown past thinking either: OpenAI, Groq and xAI answer 400. By pattern of the model's name, the first that fits,
    where a provider's models differ; one that none fits does not think."""

    efforts: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh")
    """The values of ``reasoning_effort`` that are known; the nearest below is taken for any other."""

    thinking_effort: bool = False
    """With ``thinking`` an effort may be said too: DeepSeek. Moonshot refuses requests with both."""

    reasoning_history: Literal["none", "reasoning_content", "reasoning", "reasoning_details"] = "none"
    """The field in which past thinking is given back. Moonshot and DeepSeek think on from ``reasoning_content``,
    gpt-oss from ``reasoning``, OpenRouter from signed ``reasoning_details``; Groq and Mistral refuse what is not
    theirs."""

    missing_reasoning: str | None = None
    """What stands for thinking that is not there, in past messages of the assistant's. Without it DeepSeek ("" will do)
    and, beside tool calls, Moonshot (" " is the least) answer 400 while thinking is on."""

    tool_names: str = "[a-zA-Z0-9_-]{1,64}"
    """Regular expression of the tool names that are taken. A tool with another name is left out."""

    call_ids: Literal["any", "short", "nine_alphanumeric"] = "any"
    """``short``: at most 40 characters (OpenAI). ``nine_alphanumeric``: exactly that (Mistral). Others are replaced, in
    calls and results alike."""

    custom_tools: bool = False
    """Free-text tools are known (OpenAI); otherwise they are sent as functions."""

    strict_tools: bool = True
    """``strict`` on a function is known. It is only said of schemas that OpenAI can enforce."""

    schema: Literal["any", "moonshot"] = "any"
    """Moonshot checks the schemas of tools: no ``type`` beside ``anyOf``, no list as ``items``."""

    named_tool_choice: bool = True
    """One tool may be forced by name. Otherwise it is the only one sent, with ``required``: llama.cpp, LM Studio, which
    take only strings, and Mistral."""

    required_tool_choice: bool = True
    """A call may be demanded. Otherwise the system prompt does so: Moonshot."""

    allowed_tools: bool = True
    """The choice may be among some of the tools: OpenAI alone. Otherwise only these are sent."""

    parallel_tool_calls: bool = True
    """Whether several tools may be called at once can be said: not to Cerebras."""

    web_search: Literal["none", "web_search_options", "plugin"] = "none"
    """A web search run by the provider, for requests that have no other tool: OpenAI's search models and Perplexity
    have ``web_search_options``, OpenRouter a plugin. Each search costs extra."""

    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """``max_tokens`` for nearly everyone but OpenAI, whose reasoning models refuse it."""

    max_output_tokens: int | dict[str, int] | None = None
    """The most that may be asked for, of any model or by pattern; agents ask for more than many models can do."""

    omit_max_tokens_above: int | None = None
    """A larger limit is left out, for servers that refuse one that does not fit into what is left of the context, and
    without one use all of that: vLLM, SGLang."""

    json_schema: bool = True
    """``response_format`` may be a JSON schema. Otherwise the schema goes into the system prompt: DeepSeek."""

    json_object: bool = True
    """``response_format`` may be ``json_object``."""

    stop_sequences: int = 4
    """How many there may be. The gateway itself ends the reply at any of the others."""

    top_k: bool = False
    """``top_k`` is known: OpenRouter, Together, Fireworks, and the local servers."""

    seed_field: Literal["seed", "random_seed"] = "seed"
    """``random_seed`` for Mistral."""

    user: bool = True
    """``user`` is known: not to Mistral."""

    stream_options: bool = True
    """Usage may be asked for in streams; Mistral sends it unasked."""

    shared_fields: tuple[str, ...] = ()
    """Fields of OpenAI's that a client of its other API may have sent and that are known here too (``service_tier``,
    ``prompt_cache_key``, …). None unless said: many servers answer 400 to what they do not know."""

    unsupported: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Fields that some models, or all (``"*"``), answer 400 to: by pattern of the model's name, all patterns that fit
    together. They are left out if they only tune, and the request is refused if they mean more; ``stop`` is then done
    here."""

    added: dict[str, Any] = msgspec.field(default_factory=dict)
    """Fields put into every request that does not have them."""


def reasoning_style(quirks: OpenAIChatQuirks, model: str) -> ReasoningStyle:
    styles = quirks.reasoning
    if isinstance(styles, dict):
        return next((style for pattern, style in styles.items() if fnmatchcase(model, pattern)), "none")
    return styles


def output_limit(quirks: OpenAIChatQuirks, model: str) -> int | None:
    """The most ``model`` may be asked for; of several patterns the first that fits counts."""
    limits = quirks.max_output_tokens
    if isinstance(limits, dict):
        return next((limit for pattern, limit in limits.items() if fnmatchcase(model, pattern)), None)
    return limits


def unsupported_fields(quirks: OpenAIChatQuirks, model: str) -> frozenset[str]:
    fields = (names for pattern, names in quirks.unsupported.items() if fnmatchcase(model, pattern))
    return frozenset(name for names in fields for name in names)
