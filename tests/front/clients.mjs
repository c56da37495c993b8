// Stock clients of front ends, unpatched. Told which one to be and where the gateway is, it says what its user sees.
import { HttpAgent } from "@ag-ui/client";
import { Chat } from "@ai-sdk/vue";
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { AssistantRuntimeProvider } from "@assistant-ui/core/react";
import { useDataStreamRuntime } from "@assistant-ui/react-data-stream";
import { ChatClient, fetchServerSentEvents } from "@tanstack/ai-client";
import * as ai7 from "ai";
import * as ai5 from "ai5";
import * as ai6 from "ai6";
import { createElement } from "react";
import { create } from "react-test-renderer";

const base = process.argv[2];
const api = `${base}/api/chat`;
const ask = (text) => [{ id: "u", role: "user", parts: [{ type: "text", text }] }];
const textOf = (message) => message.parts.filter((p) => p.type === "text").map((p) => p.text).join("");
const toolsOf = (message) => message.parts.filter((p) => p.type === "dynamic-tool").map((p) => [p.toolName, p.state]);

async function fold(ai, stream) {
  const errors = [];
  let last;
  for await (const message of ai.readUIMessageStream({ stream, onError: (e) => errors.push(e.message) })) last = message;
  return { text: last && textOf(last), tools: last && toolsOf(last), usage: last?.metadata?.usage, errors };
}

// Lets `size` bytes of the first response through, then the network breaks.
function breaking(size, seen) {
  return async (url, init) => {
    const response = await fetch(url, init);
    seen.push(`${init?.method ?? "GET"} ${new URL(url).search}`);
    if (seen.length > 1) return response;
    let left = size;
    const cut = new TransformStream({
      transform(piece, out) {
        if (piece.length > left) {
          if (left) out.enqueue(piece.subarray(0, left));
          out.error(new TypeError("network error"));
        } else out.enqueue(piece);
        left -= piece.length;
      },
    });
    return new Response(response.body.pipeThrough(cut), { status: response.status, headers: response.headers });
  };
}

const sdk = (ai) => async (text) => {
  const transport = new ai.DefaultChatTransport({ api });
  const chatId = `chat-${Math.random()}`;
  const stream = await transport.sendMessages({ chatId, messages: ask(text), trigger: "submit-message" });
  const said = await fold(ai, stream);
  return { ...said, after: await transport.reconnectToStream({ chatId }) };
};

async function workflow(text) {
  const seen = [];
  const quiet = console.error;
  console.error = () => {};
  const transport = new WorkflowChatTransport({ api, fetch: breaking(900, seen) });
  const stream = await transport.sendMessages({ chatId: "w", messages: ask(text), trigger: "submit-message" });
  const said = await fold(ai7, stream);
  console.error = quiet;
  return { ...said, seen };
}

// The SDK's own chat, which asks its user and sends the answer by itself.
async function vue(text) {
  const chat = new Chat({
    transport: new ai6.DefaultChatTransport({ api }),
    sendAutomaticallyWhen: ai6.lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  await chat.sendMessage({ text });
  const asked = chat.messages.at(-1).parts.find((part) => part.state === "approval-requested");
  if (asked) await chat.addToolApprovalResponse({ id: asked.approval.id, approved: true });
  while (chat.status !== "ready" && chat.status !== "error") await new Promise(setImmediate);
  const last = chat.messages.at(-1);
  return { text: textOf(last), tools: toolsOf(last), asked: Boolean(asked), messages: chat.messages.length, status: chat.status };
}

async function assistant(text) {
  let runtime;
  const app = () => createElement(AssistantRuntimeProvider, { runtime: (runtime = useDataStreamRuntime({ api })) });
  create(createElement(app), { unstable_isConcurrent: true });
  while (!runtime || runtime.thread.getState().isDisabled) await new Promise(setImmediate);
  runtime.thread.append({ role: "user", content: [{ type: "text", text }] });
  const done = () => runtime.thread.getState().messages.at(-1)?.status?.type;
  while (!["complete", "incomplete", "requires-action"].includes(done())) await new Promise(setImmediate);
  const { content, status } = runtime.thread.getState().messages.at(-1);
  const said = content.filter((part) => part.type === "text").map((part) => part.text).join("");
  const tools = content.filter((part) => part.type === "tool-call").map((part) => [part.toolName, part.result]);
  return { text: said, tools, status: status.type };
}

async function agent(text) {
  const one = new HttpAgent({ url: `${base}/agui`, threadId: `t-${Math.random()}` });
  one.addMessage({ id: "u", role: "user", content: text });
  const outcomes = [];
  const errors = [];
  const watch = {
    onRunFinishedEvent: ({ event }) => void outcomes.push(event.outcome),
    onRunErrorEvent: ({ event }) => void errors.push(event.message),
  };
  await one.runAgent({}, watch).catch((error) => errors.push(error.message));
  const interrupts = outcomes.at(-1)?.interrupts;
  if (interrupts) {
    const resume = interrupts.map(({ id }) => ({ interruptId: id, status: "resolved", payload: { approved: true } }));
    await one.runAgent({ resume }, watch);
  }
  const said = one.messages.filter((m) => m.role === "assistant").map((m) => m.content ?? "").join("");
  const results = one.messages.filter((m) => m.role === "tool").map((m) => m.content);
  return { text: said, results, outcomes: outcomes.map((o) => o?.type), errors };
}

async function tanstack(text) {
  const seen = [];
  const errors = [];
  const client = new ChatClient({
    connection: fetchServerSentEvents(`${base}/agui`, { fetchClient: breaking(900, seen), reconnect: { delayMs: 1 } }),
    onError: (error) => errors.push(error.message),
  });
  await client.sendMessage(text);
  const answers = client.getMessages().filter((message) => message.role === "assistant");
  const parts = answers.flatMap((message) => message.parts).filter((part) => part.type === "text");
  return { text: parts.map((part) => part.content).join(""), seen: seen.length, errors };
}

const clients = { ai5: sdk(ai5), ai6: sdk(ai6), ai7: sdk(ai7), workflow, vue, assistant, agent, tanstack };
const found = {};
for (const [name, text] of JSON.parse(process.argv[3]))
  found[name] = await clients[name](text).catch((error) => ({ broken: error.stack }));
console.log(JSON.stringify(found));
process.exit(0);
