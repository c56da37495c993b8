// A run's events as its journal has them, in the page's own terms (see surfaces.js).

function textOf(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => part.text ?? `[${part.media_type ?? part.type}]`).join("\n");
}

const BY_KIND = {
  RunStart: (e) => ({ kind: "start", runId: e.run_id, model: e.model ?? "" }),
  StepStart: (e) => ({ kind: "step", number: e.number }),
  TextDelta: (e) => (e.text ? { kind: "text", text: e.text } : null),
  ReasoningDelta: (e) => ({ kind: "reasoning", text: e.text }),
  ToolCallStart: (e) => ({ kind: "call", id: e.id, tool: e.name }),
  ToolDetected: (e) => ({ kind: "tool", phase: "detected", id: e.call_id, tool: e.tool }),
  ToolRunStart: (e) => ({ kind: "tool", phase: "running", id: e.call_id, tool: e.tool, args: e.arguments }),
  ToolRunProgress: (e) => ({
    kind: "tool", phase: "progress", id: e.call_id, tool: e.tool, message: e.message, current: e.current, total: e.total,
  }),
  ToolRunEnd: (e) => ({
    kind: "tool", phase: "done", id: e.call_id, tool: e.tool, content: textOf(e.content), isError: Boolean(e.is_error),
  }),
  ApprovalAsked: (e) => ({ kind: "approval", id: e.id, callId: e.call_id, tool: e.tool, args: e.arguments }),
  ApprovalGiven: (e) => ({ kind: "approved", id: e.id, approved: e.approved }),
  Switched: (e) => ({ kind: "status", text: `goes on with ${e.model}: ${e.reason}` }),
  Status: (e) => ({ kind: "status", text: e.message ?? e.status }),
  Suggestions: (e) => ({ kind: "suggestions", items: e.items }),
  Usage: (e) => ({ kind: "usage", input: e.usage.input_tokens ?? 0, output: e.usage.output_tokens ?? 0 }),
  Fault: (e) => ({ kind: "error", code: e.code ?? e.kind, message: e.message, retryable: Boolean(e.retryable) }),
  RunEnd: (e) => ({
    kind: "end",
    reason: e.finish_reason ?? e.reason,
    output: e.usage?.output_tokens ?? null,
    input: e.usage?.input_tokens ?? null,
  }),
};

/** `{at, event}` of one line; `event` is null where the page has nothing to show for it. */
export function readLine(line) {
  const said = JSON.parse(line);
  return { at: said.at, name: said.type, event: BY_KIND[said.type]?.(said) ?? null };
}
