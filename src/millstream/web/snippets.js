// The same call for other programs: as curl, Python and TypeScript.

import { base, key } from "./api.js";

const SDKS = {
  anthropic: {
    python: (body) => `import anthropic

client = anthropic.Anthropic(base_url="${origin()}", api_key=${pythonKey()})
with client.messages.stream(${keywords(without(body, "stream"))}) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)`,
    typescript: (body) => `import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: "${origin()}", apiKey: ${tsKey()} });
const stream = client.messages.stream(${json(without(body, "stream"))});
stream.on("text", (text) => process.stdout.write(text));
await stream.finalMessage();`,
  },
  chat: {
    python: (body) => `import openai

client = openai.OpenAI(base_url="${origin()}/v1", api_key=${pythonKey()})
for chunk in client.chat.completions.create(${keywords(body)}):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`,
    typescript: (body) => `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${origin()}/v1", apiKey: ${tsKey()} });
for await (const chunk of await client.chat.completions.create(${json(body)})) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
}`,
  },
  responses: {
    python: (body) => `import openai

client = openai.OpenAI(base_url="${origin()}/v1", api_key=${pythonKey()})
for event in client.responses.create(${keywords(body)}):
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)`,
    typescript: (body) => `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${origin()}/v1", apiKey: ${tsKey()} });
for await (const event of await client.responses.create(${json(body)})) {
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
}`,
  },
};

export function snippets(surface, request) {
  const sdk = SDKS[surface.id];
  if (request.method === "WS") {
    const found = webSocket(request);
    return { ...found, python: withOs(found.python) };
  }
  const inPython = sdk ? sdk.python(request.body) : python(request);
  return {
    curl: curl(request),
    python: withOs(inPython),
    typescript: sdk ? sdk.typescript(request.body) : typescript(request),
  };
}

function curl({ path, body, headers }) {
  const said = { ...headers, ...(key() ? { authorization: "Bearer $MILLSTREAM_KEY" } : {}) };
  const lines = Object.entries(said).map(([name, value]) => `  -H ${value.includes("$") ? `"${name}: ${value}"` : shell(`${name}: ${value}`)}`);
  return [`curl -N ${shell(origin() + path)}`, ...lines, `  -d ${shell(json(body, 0))}`].join(" \\\n");
}

function python({ path, body, headers }) {
  const sent = without(headers, "content-type");
  const pairs = Object.entries(sent).map(([name, value]) => `${literal(name)}: ${literal(value)}`);
  if (key()) pairs.push(`"authorization": "Bearer " + ${pythonKey()}`);
  return `import httpx

body = ${literal(body)}
headers = {${pairs.join(", ")}}
with httpx.stream("POST", "${origin()}${path}", json=body, headers=headers, timeout=None) as reply:
    for line in reply.iter_lines():
        if line.startswith("data:"):
            print(line[5:].strip(), flush=True)`;
}

function typescript({ path, body, headers }) {
  const pairs = Object.entries(headers).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  if (key()) pairs.push(`authorization: \`Bearer \${${tsKey()}}\``);
  return `const reply = await fetch("${origin()}${path}", {
  method: "POST",
  headers: { ${pairs.join(", ")} },
  body: JSON.stringify(${json(body)}),
});
let rest = "";
for await (const text of reply.body!.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\\n");
  rest = lines.pop()!;
  for (const line of lines) if (line.startsWith("data:")) console.log(line.slice(5).trim());
}`;
}

function webSocket({ path, body }) {
  const address = `${origin().replace(/^http/, "ws")}${path}`;
  const header = key() ? ' -H "authorization: Bearer $MILLSTREAM_KEY"' : "";
  const more = key() ? `, additional_headers={"authorization": "Bearer " + ${pythonKey()}}` : "";
  return {
    curl: `# curl does not speak WebSocket messages; websocat does\necho ${shell(json(body, 0))} | websocat -n${header} ${address}`,
    python: `import json

from websockets.sync.client import connect

with connect("${address}"${more}) as socket:
    socket.send(json.dumps(${literal(body)}))
    for message in socket:
        said = json.loads(message)
        print(said.get("content", ""), end="", flush=True)
        if said["type"] in ("complete", "error"):
            break`,
    typescript: `import WebSocket from "ws";

const socket = new WebSocket("${address}"${key() ? `, { headers: { authorization: \`Bearer \${${tsKey()}}\` } }` : ""});
socket.on("open", () => socket.send(JSON.stringify(${json(body)})));
socket.on("message", (data) => {
  const said = JSON.parse(data.toString());
  process.stdout.write(said.content ?? "");
  if (said.type === "complete" || said.type === "error") socket.close();
});`,
  };
}

const withOs = (code) => (key() ? `import os\n${code.startsWith("import json") ? "" : "\n"}${code}` : code);
const origin = () => base.href.replace(/\/$/, "");
const pythonKey = () => (key() ? 'os.environ["MILLSTREAM_KEY"]' : '"none"');
const tsKey = () => (key() ? "process.env.MILLSTREAM_KEY" : '"none"');
const json = (value, indent = 2) => JSON.stringify(value, null, indent);
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function without(value, name) {
  const { [name]: _, ...rest } = value;
  return rest;
}

function keywords(body) {
  return Object.entries(body).map(([name, value]) => `\n    ${name}=${literal(value)},`).join("") + "\n";
}

/** A value in the words of Python. JSON's strings are also Python's, but for halves of a pair. */
function literal(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one)}`).join(", ")}}`;
  }
  return typeof value === "string" ? JSON.stringify(value).replaceAll("\u007f", "\\u007f") : String(value);
}
