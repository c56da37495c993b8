// Reads JSON from standard input: for each release of the AI SDK, chunks of the UI message stream. Says which of them
// the release's own transport refuses, each sent by itself, and which message it makes of all.
import { text } from "node:stream/consumers";

async function received({ DefaultChatTransport }, chunks) {
  const body = [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"].map((data) => `data: ${data}\n\n`).join("");
  const fetch = async () => new Response(body, { headers: { "content-type": "text/event-stream" } });
  const transport = new DefaultChatTransport({ api: "http://localhost/", fetch });
  return transport.sendMessages({ chatId: "c", messages: [], trigger: "submit-message" });
}

const found = {};
for (const [name, chunks] of Object.entries(JSON.parse(await text(process.stdin)))) {
  const ai = await import(name);
  const refused = [];
  for (const chunk of chunks) {
    try {
      let read = 0;
      for await (const _ of await received(ai, [chunk])) read += 1;
      if (read !== 1) refused.push([chunk, `${read} chunks were read`]);
    } catch (error) {
      refused.push([chunk, error.message]);
    }
  }
  const errors = [];
  let message;
  const stream = await received(ai, chunks);
  for await (const one of ai.readUIMessageStream({ stream, onError: (error) => errors.push(error.message) })) message = one;
  found[name] = { refused, errors, parts: message?.parts ?? [] };
}
console.log(JSON.stringify(found));
