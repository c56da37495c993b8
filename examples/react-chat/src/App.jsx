import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { useEffect, useState } from "react";

// The chat is in the address, and its messages in the browser: so a reload goes on with the answer that is under way,
// and so does another tab.
const id = location.hash.slice(1) || crypto.randomUUID();
history.replaceState(null, "", `#${id}`);
addEventListener("hashchange", () => location.reload());
const kept = JSON.parse(localStorage.getItem(id)) ?? { messages: [], open: false };
let taken = JSON.stringify(kept.messages); // from the browser, which has no need to be told of it

// An answer is taken up from its first part on, also if it has ended meanwhile: the page may have less of it.
const transport = new DefaultChatTransport({
  api: "/api/chat",
  prepareReconnectToStreamRequest: () => ({ api: `/api/chat/${id}/stream?startIndex=0` }),
});

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
    id,
    messages: kept.messages,
    transport,
    resume: kept.open,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  const { messages, status, error } = chat;
  const busy = status === "submitted" || status === "streaming";
  const lost = error instanceof TypeError && messages.at(-1)?.role === "assistant"; // the network broke in an answer
  const open = busy || lost;

  useEffect(() => {
    if (open || JSON.stringify(messages) !== taken) localStorage.setItem(id, JSON.stringify({ messages, open }));
  }, [messages, open]);
  useEffect(() => {
    const take = (event) => {
      if (event.key !== id || open) return;
      const theirs = JSON.parse(event.newValue);
      const last = theirs.messages.at(-1);
      if (theirs.open && (last?.role !== "assistant" || messages.some((m) => m.id === last.id))) return;
      taken = JSON.stringify(theirs.messages);
      chat.setMessages(theirs.messages);
      if (theirs.open) chat.resumeStream();
    };
    addEventListener("storage", take);
    return () => removeEventListener("storage", take);
  }, [messages, open]);
  useEffect(() => {
    if (!lost) return;
    const timer = navigator.onLine && setTimeout(chat.resumeStream, 1000);
    addEventListener("online", chat.resumeStream);
    return () => {
      clearTimeout(timer);
      removeEventListener("online", chat.resumeStream);
    };
  }, [lost, error]);

  function send(event) {
    event.preventDefault();
    if (!draft.trim() || open) return;
    setTrouble("");
    setDraft("");
    chat.sendMessage({ text: draft });
  }

  // `useChat` only leaves the stream; the gateway has to be asked to stop the run.
  async function stop() {
    await fetch(`/api/chat/${id}/stop`, { method: "POST" }).catch(() => setTrouble("The gateway cannot be reached."));
    await chat.stop();
    chat.clearError();
  }

  async function askWhole() {
    const asked = messages.slice(0, messages.findLastIndex((m) => m.role === "user") + 1);
    setTrouble("");
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
      <section aria-label="Conversation" aria-live="polite" aria-busy={busy}>
        {messages.map((message) => (
          <article key={message.id} className={message.role} aria-label={message.role === "user" ? "You" : "Assistant"}>
            {message.parts.map((part, n) => (
              <Part key={n} part={part} all={message.parts} answer={chat.addToolApprovalResponse} />
            ))}
          </article>
        ))}
      </section>
      {lost && <p role="status">The connection is lost. The answer goes on, and so does this page when it is back.</p>}
      {error && !lost && (
        <p role="alert">
          {error.message} <button onClick={() => chat.regenerate()}>Try again</button>
          <button onClick={askWhole}>Ask without streaming</button>
        </p>
      )}
      {trouble && <p role="alert">{trouble}</p>}
      <form onSubmit={send}>
        <input aria-label="Message" value={draft} onChange={(event) => setDraft(event.target.value)} />
        {open ? <button key="stop" type="button" onClick={stop}>Stop</button> : <button key="send">Send</button>}
      </form>
    </main>
  );
}

function Part({ part, all, answer }) {
  if (part.type === "text") return <p>{part.text}</p>;
  if (part.type === "reasoning") return <details><summary>Thoughts</summary><p>{part.text}</p></details>;
  if (part.type === "source-url") return <a href={safe(part.url)} rel="noreferrer">{part.title ?? part.url}</a>;
  if (part.type !== "dynamic-tool") return null;
  const { approval, state } = part;
  const progress = all.find((p) => p.type === "data-tool-progress" && p.data.toolCallId === part.toolCallId)?.data;
  return (
    <div className="tool">
      <code>{part.toolName}({JSON.stringify(part.input)})</code>
      {state === "input-available" && progress && (
        <label>{progress.message} <progress value={progress.current} max={progress.total ?? undefined} /></label>
      )}
      {state === "approval-requested" && (
        <p role="group" aria-label={`May ${part.toolName} run?`}>
          May it run? <button onClick={() => answer({ id: approval.id, approved: true })}>Allow</button>
          <button onClick={() => answer({ id: approval.id, approved: false })}>Refuse</button>
        </p>
      )}
      {state === "output-available" && <p>{part.output}</p>}
      {state === "output-denied" && <p>Refused.</p>}
      {state === "output-error" && <p role="alert">{part.errorText}</p>}
    </div>
  );
}

// A model can write any address.
const safe = (url) => (/^https?:/.test(url) ? url : undefined);
