import Anthropic from "@anthropic-ai/sdk";

const STOPS = {
  end_turn: "stop",
  max_tokens: "length",
  tool_use: "tool_calls",
  stop_sequence: "stop_sequence",
  refusal: "refusal",
  pause_turn: "pause",
  model_context_window_exceeded: "context_window",
};

export async function anthropic(fetch) {
  const client = new Anthropic({ apiKey: "k", authToken: null, baseURL: "http://x", maxRetries: 0, fetch });
  const stream = client.messages.stream({ model: "m", max_tokens: 9, messages: [{ role: "user", content: "hi" }] });
  const message = await stream.finalMessage();
  const said = (type, field) =>
    message.content
      .filter((block) => block.type === type)
      .map((block) => block[field])
      .join("");
  const { usage } = message;
  return {
    text: said("text", "text"),
    reasoning: said("thinking", "thinking"),
    calls: message.content.filter((block) => block.type === "tool_use").map((block) => [block.name, block.input]),
    stop: STOPS[message.stop_reason],
    input_tokens:
      usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0),
    output_tokens: usage.output_tokens,
  };
}
