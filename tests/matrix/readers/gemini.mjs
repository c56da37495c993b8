import { GoogleGenAI } from "@google/genai";

const STOPS = { STOP: "stop", MAX_TOKENS: "length" };

export async function gemini(fetch) {
  const client = new GoogleGenAI({ apiKey: "k", httpOptions: { baseUrl: "http://x", fetch } });
  const seen = { text: "", reasoning: "", calls: [], stop: null, input_tokens: null, output_tokens: null };
  for await (const chunk of await client.models.generateContentStream({ model: "m", contents: "hi" })) {
    const usage = chunk.usageMetadata;
    if (usage) {
      seen.input_tokens = (usage.promptTokenCount ?? 0) + (usage.toolUsePromptTokenCount ?? 0);
      seen.output_tokens = (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0);
    }
    for (const candidate of chunk.candidates ?? []) {
      if (candidate.index) continue;
      if (candidate.finishReason) seen.stop = STOPS[candidate.finishReason] ?? "content_filter";
      for (const part of candidate.content?.parts ?? []) take(seen, part);
    }
  }
  if (seen.calls.length && seen.stop === "stop") seen.stop = "tool_calls";
  return seen;
}

function take(seen, part) {
  if (part.functionCall) seen.calls.push([part.functionCall.name ?? "", part.functionCall.args ?? {}]);
  else if (part.thought) seen.reasoning += part.text ?? "";
  else seen.text += part.text ?? "";
}
