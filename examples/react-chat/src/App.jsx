import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { useEffect, useState } from "react";

// The chat's id and messages outlive the page: a reload in the middle of an answer resumes it.
const kept = JSON.parse(sessionStorage.getItem("chat") ?? "null") ?? { id: crypto.randomUUID(), messages: [] };
const keep = (messages) => sessionStorage.setItem("chat", JSON.stringify({ id: kept.id, messages }));

const transport = new DefaultChatTransport({ api: "/api/chat" });

// Where streams do not pass (a proxy that breaks them), the same question is answered whole.
async function wholeReply(messages) {
  const text = (m) => m.parts.filter((p) => p.type === "text").map((p) => p.text).join("");
  const response = await fetch("/mcp/chat", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages: messages.map((m) => ({ role: m.role, content: text(m) })) }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(body.message);
  return { id: crypto.randomUUID(), role: "assistant", parts: [{ type: "text", text: body.text }] };
}

export function App() {
  const [draft, setDraft] = useState("");
  const [trouble, setTrouble] = useState("");
  const chat = useChat({
    id: kept.id,
    messages: kept.messages,
    transport,
    resume: true,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  const { messages, status, error } = chat;
  useEffect(() => keep(messages), [messages]);
  const busy = status === "submitted" || status === "streaming";

  async function send(event) {
    event.preventDefault();
    if (!draft.trim() || busy) return;
    setTrouble("");
    setDraft("");
    await chat.sendMessage({ text: draft });
  }

  // `useChat` only leaves the stream; the gateway has to be asked to stop the run.
  async function stop() {
    await fetch(`/api/chat/${kept.id}/stop`, { method: "POST" });
    await chat.stop();
  }

  async function askWhole() {
    const asked = messages.slice(0, messages.findLastIndex((m) => m.role === "user") + 1);
    try {
      const answer = await wholeReply(asked);
      chat.clearError();
      chat.setMessages([...asked, answer]);
    } catch (failure) {
      setTrouble(failure.message);
    }
  }

  return (
    <main>
      <h1>A chat</h1>
      <section aria-live="polite" aria-busy={busy}>
        {messages.map((message) => (
          <article key={message.id} className={message.role}>
            {message.parts.map((part, n) => (
              <Part key={n} part={part} answer={chat.addToolApprovalResponse} />
            ))}
          </article>
        ))}
      </section>
      {error && (
        <p role="alert">
          {error.message} <button onClick={() => chat.regenerate()}>Try again</button>{" "}
          <button onClick={askWhole}>Ask without streaming</button>
        </p>
      )}
      {trouble && <p role="alert">{trouble}</p>}
      <form onSubmit={send}>
        <input aria-label="Message" value={draft} onChange={(event) => setDraft(event.target.value)} />
        {busy ? (
          <button type="button" onClick={stop}>Stop</button>
        ) : (
          <button>Send</button>
        )}
      </form>
    </main>
  );
}

function Part({ part, answer }) {
  if (part.type === "text") return <p>{part.text}</p>;
  if (part.type === "reasoning") return <details><summary>Thoughts</summary><p>{part.text}</p></details>;
  if (part.type === "source-url") return <a href={safe(part.url)} rel="noreferrer">{part.title ?? part.url}</a>;
  if (part.type === "data-tool-progress") {
    const { tool, current, total, message } = part.data;
    return (
      <label className="tool">
        {tool}: {message} <progress value={current} max={total ?? undefined} />
      </label>
    );
  }
  if (part.type === "dynamic-tool") {
    const id = part.approval?.id;
    return (
      <div className="tool">
        <code>{part.toolName}({JSON.stringify(part.input)})</code> {part.state}
        {part.state === "approval-requested" && (
          <>
            {" "}
            <button onClick={() => answer({ id, approved: true })}>Allow</button>{" "}
            <button onClick={() => answer({ id, approved: false })}>Refuse</button>
          </>
        )}
        {part.state === "output-error" && <p role="alert">{part.errorText}</p>}
      </div>
    );
  }
  return null;
}

// A model can write any address.
const safe = (url) => (/^https?:/.test(url) ? url : undefined);
