// Stock clients of front ends on a wire that breaks, again and again. Told which one to be, the wire's address and the
// gateway's own, it says what the client has in the end, and what one that reads the same run on a good wire has.
import { useChat } from "@ai-sdk/react";
import { Chat } from "@ai-sdk/vue";
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { ChatClient, fetchServerSentEvents } from "@tanstack/ai-client";
import * as ai7 from "ai";
import * as ai6 from "ai6";
import { createElement } from "react";
import { create } from "react-test-renderer";

const [name, wire, base] = process.argv.slice(2);
const PATIENT = 100_000; // tries that bring nothing new
const id = "c";
const text = "Weather?";
const question = { id: "u", role: "user", parts: [{ type: "text", text }] };
const moment = () => new Promise(setImmediate);
console.error = () => {}; // they tell of each cut

// Where those that go on from a place did so.
const places = new Set();
const noting = (url, init) => {
  const said = new Headers(init?.headers).get("last-event-id") ?? new URL(url).searchParams.get("startIndex");
  if (said) places.add(said);
  return fetch(url, init);
};

// A chunk at a time, as a client takes them, and the message they make.
async function read(ai, stream) {
  const chunks = [];
  const [one, other] = stream.tee();
  const collecting = (async () => {
    for await (const chunk of one) chunks.push(chunk);
  })();
  let message;
  for await (message of ai.readUIMessageStream({ stream: other, terminateOnError: true }));
  await collecting;
  return { chunks, id: message.id, parts: message.parts };
}

async function replayed(ai, run) {
  const response = await fetch(`${base}/api/chat/${run}/stream?startIndex=0`);
  const parsed = ai.parseJsonEventStream({ stream: response.body, schema: ai.uiMessageChunkSchema });
  const values = new TransformStream({ transform: (chunk, out) => out.enqueue(chunk.value) });
  return read(ai, parsed.pipeThrough(values));
}

// A page with `useChat`. It is loaded anew after one cut, and resumes where it is after the next.
async function react() {
  const transport = new ai7.DefaultChatTransport({ api: `${wire}/api/chat` });
  let shown;
  let settle;
  const Page = ({ resume, messages }) => {
    const onFinish = ({ isError }) => settle(!isError);
    shown = useChat({ id, transport, resume, messages, onFinish, onError: () => settle(false) });
    return null;
  };
  const load = (props) => create(createElement(Page, props), { unstable_isConcurrent: true });
  const settled = (begin) => new Promise((resolve) => (settle = resolve) && begin());
  let page = load({ resume: false });
  while (!shown) await moment();
  let loads = 1;
  let whole = await settled(() => shown.sendMessage({ text }));
  for (let tries = 0; !whole; tries += 1) {
    await moment();
    if (tries % 2) {
      whole = await settled(() => shown.resumeStream());
    } else {
      page.unmount();
      loads += 1;
      whole = await settled(() => (page = load({ resume: true, messages: [question] })));
    }
  }
  while (shown.status !== "ready") await moment();
  return { messages: shown.messages, loads, replay: await replayed(ai7, shown.messages.at(-1).id) };
}

async function vue() {
  const transport = new ai6.DefaultChatTransport({ api: `${wire}/api/chat` });
  let chat = new Chat({ id, transport });
  let loads = 1;
  await chat.sendMessage({ text });
  for (let tries = 0; chat.status === "error"; tries += 1) {
    if (tries % 2 === 0) {
      chat = new Chat({ id, transport, messages: [question] });
      loads += 1;
    }
    await chat.resumeStream();
  }
  return { messages: chat.messages, loads, replay: await replayed(ai6, chat.messages.at(-1).id) };
}

async function workflow() {
  const transport = new WorkflowChatTransport({ api: `${wire}/api/chat`, fetch: noting, maxConsecutiveErrors: PATIENT });
  const stream = await transport.sendMessages({ chatId: id, messages: [question], trigger: "submit-message" });
  const { chunks, id: run, parts } = await read(ai7, stream);
  return { chunks, messages: [question, { id: run, role: "assistant", parts }], replay: await replayed(ai7, run) };
}

// All of the first response but its end.
const late = async (url, init) => {
  const response = await noting(url, init);
  if (places.size) return response;
  const cut = new TransformStream({ flush: (out) => out.error(new TypeError("network error")) });
  return new Response(response.body.pipeThrough(cut), { status: response.status, headers: response.headers });
};

async function tanstack(fetchClient = noting) {
  const reconnect = { delayMs: 0, maxAttempts: PATIENT };
  const asked = async (connection) => {
    const chunks = [];
    const errors = [];
    const onError = (error) => errors.push(error.message);
    const client = new ChatClient({ connection, threadId: "t", onChunk: (chunk) => chunks.push(chunk), onError });
    await client.sendMessage(text);
    const parts = client.getMessages().filter((message) => message.role === "assistant").flatMap((message) => message.parts);
    return { chunks, errors, parts };
  };
  const { chunks, errors, parts } = await asked(fetchServerSentEvents(`${wire}/agui`, { reconnect, fetchClient }));
  const run = chunks[0]?.runId;
  const whole = fetchServerSentEvents(`${base}/agui`);
  const replay = await asked({ connect: (messages, data, signal) => whole.joinRun(run, signal) });
  return { chunks, errors, messages: [question, { id: run, role: "assistant", parts }], replay: { ...replay, id: run } };
}

const found = await { react, vue, workflow, tanstack, late: () => tanstack(late) }[name]().catch((error) => ({ broken: error.stack }));
process.stdout.write(`${JSON.stringify({ ...found, places: places.size })}\n`, () => process.exit(0));
