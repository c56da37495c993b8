import OpenAI from "openai";

import { parsed } from "./values.mjs";

const client = (fetch) => new OpenAI({ apiKey: "k", baseURL: "http://x/v1", maxRetries: 0, fetch });

const CHAT_STOPS = { stop: "stop", length: "length", tool_calls: "tool_calls", content_filter: "content_filter" };

export async function openaiChat(fetch) {
  const stream = client(fetch).chat.completions.stream({ model: "m", messages: [{ role: "user", content: "hi" }] });
  // The helper keeps only the last piece of a field that OpenAI itself does not have.
  let reasoning = "";
  stream.on("chunk", (chunk) => {
    for (const choice of chunk.choices) if (choice.index === 0) reasoning += choice.delta.reasoning_content ?? "";
  });
  const completion = await stream.finalChatCompletion();
  const { message, finish_reason } = completion.choices[0];
  return {
    text: (message.content ?? "") + (message.refusal ?? ""),
    reasoning,
    calls: (message.tool_calls ?? []).map(chatCall),
    stop: CHAT_STOPS[finish_reason],
    input_tokens: completion.usage?.prompt_tokens ?? null,
    output_tokens: completion.usage?.completion_tokens ?? null,
  };
}

function chatCall(call) {
  return call.type === "custom"
    ? [call.custom.name, { input: call.custom.input }]
    : [call.function.name, parsed(call.function.arguments)];
}

export async function openaiResponses(fetch) {
  const stream = client(fetch).responses.stream({ model: "m", input: "hi" });
  const response = await stream.finalResponse();
  if (response.status === "failed") throw new Error(response.error?.message ?? "failed without an error");
  const seen = { text: "", reasoning: "", calls: [], stop: "stop" };
  for (const item of response.output) responseItem(seen, item);
  if (seen.calls.length) seen.stop = "tool_calls";
  const incomplete = response.incomplete_details?.reason;
  if (incomplete) seen.stop = incomplete === "max_output_tokens" ? "length" : "content_filter";
  const { usage } = response;
  return { ...seen, input_tokens: usage?.input_tokens ?? null, output_tokens: usage?.output_tokens ?? null };
}

function responseItem(seen, item) {
  switch (item.type) {
    case "message":
      for (const part of item.content) seen.text += part.type === "output_text" ? part.text : part.refusal;
      break;
    case "reasoning":
      for (const part of [...(item.summary ?? []), ...(item.content ?? [])]) seen.reasoning += part.text;
      break;
    case "function_call":
      seen.calls.push([item.name, parsed(item.arguments)]);
      break;
    case "custom_tool_call":
      seen.calls.push([item.name, { input: item.input }]);
      break;
  }
}
