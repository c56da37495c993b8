// The gateway's surfaces: how each is asked, and what its frames mean.
//
// `ask(form)` gives the request; `frames()` a function from one frame to events:
//   start {runId, model} · text · reasoning · step · call and tool {id, tool, phase} · approval · status · suggestions
//   usage {input, output} · heartbeat · error · end {reason}
// `resume(known)` gives the request that takes up what was cut, where that can be; `again` says that it tells everything
// anew instead of going on.

const WAITS = "a tool waits for your approval: open the run under Runs";
const BEGAN_HEADER = "x-millstream-run";
const post = (path, body, headers = {}) => ({
  method: "POST", path, headers: { "content-type": "application/json", ...headers }, body,
});
const get = (path, headers = {}) => ({ method: "GET", path, headers });
const maybe = (name, value) => (value === "" || value === null || value === undefined ? {} : { [name]: value });
const chatMessages = (form) => [
  ...(form.system ? [{ role: "system", content: form.system }] : []),
  ...form.messages,
];
const asRun = { [BEGAN_HEADER]: "new", "x-millstream-disconnect": "detach" };
const repeated = (request, known) =>
  known.runId ? { ...request, headers: { ...request.headers, [BEGAN_HEADER]: known.runId } } : null;

function chatEvent(said) {
  switch (said.type) {
    case "started": return [{ kind: "start", runId: said.run_id }];
    case "chunk": return [{ kind: "text", text: said.content }];
    case "complete":
      return [{ kind: "end", reason: said.finish_reason, input: said.usage?.input_tokens, output: said.usage?.output_tokens }];
    case "error": return [failure(said)];
    case "ended": return [{ kind: "end", reason: "nothing is left" }];
    case "heartbeat": return [{ kind: "heartbeat" }];
    default: return [];
  }
}

function failure(said) {
  return { kind: "error", code: said.code ?? said.type ?? "", message: said.message ?? "", retryable: Boolean(said.retryable) };
}

function agentEvent(said) {
  const tool = { kind: "tool", id: said.tool_call_id, tool: said.tool };
  switch (said.type) {
    case "session_start": return [{ kind: "start", runId: said.run_id, model: said.model }];
    case "iteration_start": return [{ kind: "step", number: said.iteration }];
    case "text_chunk": return [{ kind: "text", text: said.chunk }];
    case "tool_detected": return [{ ...tool, phase: "detected" }];
    case "tool_progress":
      if (said.status !== "executing") return [];
      return [{ ...tool, phase: "progress", message: said.message, ...said.progress }];
    case "tool_result": return [{ ...tool, phase: "done", content: said.content, isError: said.is_error }];
    case "approval_required":
      return [{ kind: "approval", id: said.id, callId: said.tool_call_id, tool: said.tool, args: said.arguments }];
    case "approval_given": return [{ kind: "approved", id: said.id, approved: said.approved }];
    case "status": return [{ kind: "status", text: said.message ?? said.status }];
    case "complete":
      return [{ kind: "end", reason: said.finish_reason, input: said.usage?.input_tokens, output: said.usage?.output_tokens }];
    case "error": return [failure(said)];
    default: return [];
  }
}

function anthropicFrames() {
  let input = 0;
  return (said) => {
    switch (said.type) {
      case "message_start":
        input = said.message.usage?.input_tokens ?? 0;
        return [{ kind: "start", model: said.message.model }];
      case "content_block_start":
        return said.content_block.type === "tool_use"
          ? [{ kind: "call", id: said.content_block.id, tool: said.content_block.name }]
          : [];
      case "content_block_delta":
        if (said.delta.type === "text_delta") return [{ kind: "text", text: said.delta.text }];
        return said.delta.type === "thinking_delta" ? [{ kind: "reasoning", text: said.delta.thinking }] : [];
      case "message_delta":
        return [{ kind: "usage", input: said.usage?.input_tokens ?? input, output: said.usage?.output_tokens ?? null, reason: said.delta.stop_reason }];
      case "message_stop": return [{ kind: "end" }];
      case "ping": return [{ kind: "heartbeat" }];
      case "error": return [failure(said.error)];
      default: return [];
    }
  };
}

function chatFrames() {
  return (said) => {
    if (said === "[DONE]") return [{ kind: "end" }];
    if (said.error) return [failure(said.error)];
    const found = [];
    const choice = said.choices?.[0];
    const delta = choice?.delta ?? {};
    const thought = delta.reasoning_content ?? delta.reasoning;
    if (delta.role) found.push({ kind: "start", model: said.model });
    if (thought) found.push({ kind: "reasoning", text: thought });
    if (delta.content) found.push({ kind: "text", text: delta.content });
    for (const call of delta.tool_calls ?? []) {
      if (call.function?.name) found.push({ kind: "call", id: call.id, tool: call.function.name });
    }
    if (said.usage || choice?.finish_reason) {
      found.push({
        kind: "usage", input: said.usage?.prompt_tokens, output: said.usage?.completion_tokens, reason: choice?.finish_reason,
      });
    }
    return found;
  };
}

function responsesFrames() {
  let begun = false;
  return (said) => {
    switch (said.type) {
      case "response.created": return [{ kind: "start", model: said.response.model }];
      case "response.in_progress":
        if (begun) return [{ kind: "heartbeat" }];
        begun = true;
        return [];
      case "response.output_text.delta": return [{ kind: "text", text: said.delta }];
      case "response.reasoning_text.delta":
      case "response.reasoning_summary_text.delta": return [{ kind: "reasoning", text: said.delta }];
      case "response.output_item.added":
        return said.item.type === "function_call" ? [{ kind: "call", id: said.item.call_id, tool: said.item.name }] : [];
      case "response.completed":
      case "response.incomplete": {
        const usage = said.response.usage ?? {};
        return [{ kind: "end", reason: said.response.status, input: usage.input_tokens, output: usage.output_tokens }];
      }
      case "response.failed": return [failure(said.response.error ?? {})];
      case "error": return [failure(said.error ?? said)];
      default: return [];
    }
  };
}

function geminiFrames() {
  return (said) => {
    if (said.error) return [failure(said.error)];
    const candidate = said.candidates?.[0];
    const found = [];
    for (const part of candidate?.content?.parts ?? []) {
      if (part.functionCall) found.push({ kind: "call", id: part.functionCall.id ?? part.functionCall.name, tool: part.functionCall.name });
      else if (part.text) found.push({ kind: part.thought ? "reasoning" : "text", text: part.text });
    }
    const used = said.usageMetadata;
    const output = used ? (used.candidatesTokenCount ?? 0) + (used.thoughtsTokenCount ?? 0) : null;
    if (used) found.push({ kind: "usage", input: used.promptTokenCount, output });
    if (candidate?.finishReason) found.push({ kind: "end", reason: candidate.finishReason });
    return found;
  };
}

function conversationEvent(said) {
  switch (said.type) {
    case "status": return [{ kind: "status", text: said.status }];
    case "context": return [{ kind: "status", text: `intent: ${said.intent}` }];
    case "chunk": return [{ kind: "text", text: said.content }];
    case "complete":
      return [
        { kind: "suggestions", items: said.suggestions ?? [] },
        {
          kind: "end", reason: said.finish_reason ?? "complete", session: said.session_id,
          input: said.usage?.input_tokens, output: said.usage?.output_tokens,
        },
      ];
    case "error": return [failure(said)];
    default: return [];
  }
}

function uiFrames() {
  return (said) => {
    if (said === "[DONE]") return [{ kind: "end" }];
    switch (said.type) {
      case "start": return [{ kind: "start" }];
      case "text-delta": return [{ kind: "text", text: said.delta }];
      case "reasoning-delta": return [{ kind: "reasoning", text: said.delta }];
      case "start-step": return [{ kind: "step" }];
      case "tool-input-start": return [{ kind: "tool", phase: "detected", id: said.toolCallId, tool: said.toolName }];
      case "tool-input-available": return [{ kind: "tool", phase: "running", id: said.toolCallId, tool: said.toolName }];
      case "tool-output-available":
        return [{ kind: "tool", phase: "done", id: said.toolCallId, content: shown(said.output), isError: false }];
      case "tool-output-error":
        return [{ kind: "tool", phase: "done", id: said.toolCallId, content: said.errorText, isError: true }];
      case "tool-approval-request": return [{ kind: "status", text: WAITS }];
      case "finish": {
        const usage = said.messageMetadata?.usage ?? {};
        return [{ kind: "usage", input: usage.inputTokens, output: usage.outputTokens, reason: said.finishReason }];
      }
      case "error": return [failure({ message: said.errorText })];
      default: return [];
    }
  };
}

function aguiFrames() {
  return (said) => {
    switch (said.type) {
      case "RUN_STARTED": return [{ kind: "start" }];
      case "TEXT_MESSAGE_CONTENT": return [{ kind: "text", text: said.delta }];
      case "REASONING_MESSAGE_CONTENT":
      case "THINKING_TEXT_MESSAGE_CONTENT": return [{ kind: "reasoning", text: said.delta }];
      case "STEP_STARTED": return [{ kind: "step" }];
      case "TOOL_CALL_START": return [{ kind: "tool", phase: "detected", id: said.toolCallId, tool: said.toolCallName }];
      case "TOOL_CALL_END": return [{ kind: "tool", phase: "running", id: said.toolCallId }];
      case "TOOL_CALL_RESULT": return [{ kind: "tool", phase: "done", id: said.toolCallId, content: shown(said.content), isError: false }];
      case "RUN_FINISHED": {
        const usage = said.usage?.[0] ?? {};
        return [{ kind: "end", reason: said.outcome?.type === "interrupt" ? WAITS : said.outcome?.type, input: usage.inputTokens, output: usage.outputTokens }];
      }
      case "RUN_ERROR": return [failure(said)];
      default: return [];
    }
  };
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const plainBody = (form) => ({
  messages: form.messages, ...maybe("model", form.model), ...maybe("system", form.system), ...maybe("max_tokens", form.maxTokens),
});
const parts = (form) =>
  form.messages.map((message, n) => ({ id: `m${n}`, role: message.role, parts: [{ type: "text", text: message.content }] }));

export const SURFACES = [
  {
    id: "plain", group: "For apps", name: "Plain stream", path: "/api/v1/stream", frames: () => chatEvent,
    ask: (form) => post("/api/v1/stream", { ...plainBody(form), on_disconnect: "detach" }),
    resume: (known) => known.runId && get(`/api/v1/stream/${known.runId}`, { "last-event-id": String(known.last) }),
  },
  {
    id: "socket", group: "For apps", name: "Plain stream, WebSocket", path: "/ws/stream", frames: () => chatEvent, socket: true,
    ask: (form) => ({
      method: "WS", path: "/ws/stream", headers: {},
      body: { type: "start", stream_id: form.streamId, ...plainBody(form), on_disconnect: "detach" },
    }),
    resume: (known) => known.runId && {
      method: "WS", path: "/ws/stream", headers: {},
      body: { type: "resume", stream_id: known.streamId, run_id: known.runId, after: known.last },
    },
  },
  {
    id: "agent", group: "For apps", name: "Agent with tools", path: "/mcp/chat/stream", frames: () => agentEvent, tools: true, again: true,
    ask: (form) =>
      post("/mcp/chat/stream", {
        ...plainBody(form), accumulated: false, ...(form.tools === null ? {} : { tools: form.tools }),
      }),
    resume: (known) => known.runId && get(`/mcp/chat/stream/${known.runId}?accumulated=false`),
  },
  {
    id: "conversation", group: "For apps", name: "Conversation", path: "/api/conversation-stream/{user_id}", frames: () => conversationEvent,
    ask: (form) =>
      post("/api/conversation-stream/page", {
        message: form.messages.at(-1).content, ...maybe("model", form.model), ...maybe("session_id", form.session),
      }),
  },
  {
    id: "ui", group: "Front ends", name: "AI SDK messages", path: "/api/chat", frames: uiFrames,
    ask: (form) => post("/api/chat", { id: form.streamId, messages: parts(form), trigger: "submit-message", ...maybe("model", form.model) }),
    again: true,
    resume: (known) => known.runId && get(`/api/chat/${known.streamId}/stream`),
  },
  {
    id: "agui", group: "Front ends", name: "AG-UI", path: "/agui", frames: aguiFrames,
    ask: (form) =>
      post("/agui", {
        threadId: form.streamId, runId: `${form.streamId}-${form.messages.length}`, state: {}, tools: [], context: [],
        messages: form.messages.map((message, n) => ({ id: `m${n}`, ...message })),
        forwardedProps: { ...maybe("model", form.model) },
      }, { accept: "text/event-stream" }),
  },
  {
    id: "anthropic", group: "Model APIs", name: "Anthropic Messages", path: "/v1/messages", frames: anthropicFrames, again: true,
    ask: (form) =>
      post("/v1/messages", {
        model: form.model, max_tokens: form.maxTokens || 1024, ...maybe("system", form.system), messages: form.messages, stream: true,
      }, asRun),
    resume: (known) => repeated(known.request, known),
  },
  {
    id: "chat", group: "Model APIs", name: "OpenAI Chat", path: "/v1/chat/completions", frames: chatFrames, again: true,
    ask: (form) =>
      post("/v1/chat/completions", {
        model: form.model, messages: chatMessages(form), ...maybe("max_tokens", form.maxTokens), stream: true,
        stream_options: { include_usage: true },
      }, asRun),
    resume: (known) => repeated(known.request, known),
  },
  {
    id: "responses", group: "Model APIs", name: "OpenAI Responses", path: "/v1/responses", frames: responsesFrames,
    ask: (form) =>
      post("/v1/responses", {
        model: form.model, ...maybe("instructions", form.system), input: form.messages, ...maybe("max_output_tokens", form.maxTokens),
        stream: true,
      }),
  },
  {
    id: "gemini", group: "Model APIs", name: "Gemini", path: "/v1beta/models/{target:path}", frames: geminiFrames, again: true,
    ask: (form) =>
      post(`/v1beta/models/${form.model}:streamGenerateContent?alt=sse`, {
        contents: form.messages.map((one) => ({ role: one.role === "assistant" ? "model" : "user", parts: [{ text: one.content }] })),
        ...(form.system ? { systemInstruction: { parts: [{ text: form.system }] } } : {}),
        ...(form.maxTokens ? { generationConfig: { maxOutputTokens: form.maxTokens } } : {}),
      }, asRun),
    resume: (known) => repeated(known.request, known),
  },
];
