// Reads replies for a test: a JSON line {reader, body, split, tools} in, a JSON line out, in order.
// `body` is base64; `split` is "whole", "bytewise" or the byte offsets where a new piece begins; `tools` are the names
// that the client would have declared. The answer is {seen}, {error} if the SDK told of an error, or {broken} if it, or
// this reader, fell over or never came to an end.
import { createInterface } from "node:readline";

import { anthropic } from "./anthropic.mjs";
import { gemini } from "./gemini.mjs";
import { openaiChat, openaiResponses } from "./openai.mjs";
import { fetchOf } from "./serve.mjs";
import { vercelAnthropic, vercelCompatible, vercelGoogle, vercelOpenaiChat, vercelOpenaiResponses } from "./vercel.mjs";

const READERS = {
  "@anthropic-ai/sdk": anthropic,
  "openai chat": openaiChat,
  "openai responses": openaiResponses,
  "@google/genai": gemini,
  "@ai-sdk/anthropic": vercelAnthropic,
  "@ai-sdk/openai chat": vercelOpenaiChat,
  "@ai-sdk/openai responses": vercelOpenaiResponses,
  "@ai-sdk/openai-compatible": vercelCompatible,
  "@ai-sdk/google": vercelGoogle,
};
const PATIENCE_MS = 60_000;

globalThis.AI_SDK_LOG_WARNINGS = false;

async function answer({ reader, body, split, tools }) {
  let timer;
  const hung = new Promise((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS, { broken: "it never came to an end" });
  });
  try {
    const read = READERS[reader](fetchOf(Buffer.from(body, "base64"), split), tools);
    return await Promise.race([read.then((seen) => ({ seen })), hung]);
  } catch (error) {
    const fell = error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
    const told = fell ? error.stack : `${error?.name ?? "error"}: ${error?.message ?? JSON.stringify(error)}`;
    return { [fell ? "broken" : "error"]: told };
  } finally {
    clearTimeout(timer);
  }
}

// What an SDK leaves uncaught ends the process, as it would its client's: the test that waits hears of it.
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
