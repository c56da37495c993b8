// The AI SDK: one accumulator (streamText) over a provider package for each dialect.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { jsonSchema, streamText, tool } from "ai";

const at = (path, fetch) => ({ apiKey: "k", baseURL: `http://x${path}`, fetch });

export const vercelAnthropic = (fetch, tools) => read(createAnthropic(at("/v1", fetch))("m"), tools);
export const vercelOpenaiChat = (fetch, tools) => read(createOpenAI(at("/v1", fetch)).chat("m"), tools);
export const vercelOpenaiResponses = (fetch, tools) => read(createOpenAI(at("/v1", fetch)).responses("m"), tools);
export const vercelGoogle = (fetch, tools) => read(createGoogleGenerativeAI(at("/v1beta", fetch))("m"), tools);
export const vercelCompatible = (fetch, tools) =>
  read(createOpenAICompatible({ name: "millstream", includeUsage: true, ...at("/v1", fetch) })("m"), tools);

const STOPS = { "content-filter": "content_filter", "tool-calls": "tool_calls" };

async function read(model, tools) {
  const anything = tool({ inputSchema: jsonSchema({ type: "object" }) });
  const result = streamText({
    model,
    prompt: "hi",
    maxRetries: 0,
    tools: Object.fromEntries(tools.map((name) => [name, anything])),
    onError: () => {}, // it would print what is thrown below
  });
  const seen = { text: "", reasoning: "", calls: [], stop: null };
  for await (const part of result.fullStream) take(seen, part);
  return seen;
}

function take(seen, part) {
  switch (part.type) {
    case "text-delta":
      seen.text += part.text;
      break;
    case "reasoning-delta":
      seen.reasoning += part.text;
      break;
    case "tool-call":
      if (!part.providerExecuted) seen.calls.push([part.toolName, input(part)]);
      break;
    case "error":
      throw part.error;
    case "finish":
      if (part.finishReason === "error") throw new Error("it finished with an error");
      seen.stop = STOPS[part.finishReason] ?? part.finishReason;
      seen.input_tokens = part.totalUsage.inputTokens ?? null;
      seen.output_tokens = part.totalUsage.outputTokens ?? null;
  }
}

/** What is no JSON stays a text; the text that a free-text tool takes is wrapped, as the other readers have it. */
function input(call) {
  return typeof call.input === "string" && !call.invalid ? { input: call.input } : call.input;
}
