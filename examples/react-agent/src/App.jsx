import { HttpAgent } from "@ag-ui/client";
import { useEffect, useState } from "react";

const agent = new HttpAgent({ url: "/agui", threadId: crypto.randomUUID() });

export function App() {
  const [draft, setDraft] = useState("");
  const [messages, setMessages] = useState([]);
  const [progress, setProgress] = useState({});
  const [questions, setQuestions] = useState([]);
  const [running, setRunning] = useState("");
  const [error, setError] = useState("");

  useEffect(() => {
    const subscription = agent.subscribe({
      onMessagesChanged: ({ messages: now }) => setMessages([...now]),
      onCustomEvent: ({ event }) => {
        if (event.name !== "millstream.tool_progress") return;
        setProgress((before) => ({ ...before, [event.value.toolCallId]: event.value }));
      },
      onRunFinishedEvent: ({ event }) => {
        if (event.outcome?.type === "interrupt") setQuestions(event.outcome.interrupts);
      },
      onRunErrorEvent: ({ event }) => setError(event.message),
    });
    return () => subscription.unsubscribe();
  }, []);

  async function run(parameters) {
    const runId = crypto.randomUUID();
    setError("");
    setQuestions([]);
    setRunning(runId);
    try {
      await agent.runAgent({ runId, ...parameters });
    } catch (failure) {
      setError(failure.message);
    } finally {
      setRunning("");
    }
  }

  function send(event) {
    event.preventDefault();
    if (!draft.trim() || running) return;
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content: draft });
    setDraft("");
    run({});
  }

  // The interrupted run goes on in another one, which brings the answers.
  function answer(approved) {
    run({ resume: questions.map(({ id }) => ({ interruptId: id, status: "resolved", payload: { approved } })) });
  }

  return (
    <main>
      <h1>An agent that asks</h1>
      <section aria-live="polite" aria-busy={Boolean(running)}>
        {messages.map((message) => (
          <Message key={message.id} message={message} progress={progress} />
        ))}
      </section>
      {questions.length > 0 && (
        <div role="group" aria-label="Approval">
          {questions.map((question) => (
            <p key={question.id}>
              {question.message} <code>{question.metadata?.arguments}</code>
            </p>
          ))}
          <button onClick={() => answer(true)}>Allow</button> <button onClick={() => answer(false)}>Refuse</button>
        </div>
      )}
      {error && <p role="alert">{error}</p>}
      <form onSubmit={send}>
        <input aria-label="Message" value={draft} onChange={(event) => setDraft(event.target.value)} />
        {running ? <button type="button" onClick={() => stop(running)}>Stop</button> : <button>Send</button>}
      </form>
    </main>
  );
}

// Leaving the stream does not end the run, which others may be reading: the gateway is asked to.
async function stop(runId) {
  const response = await fetch(`/api/v1/runs/${runId}/cancel`, { method: "POST" });
  if (!response.ok) agent.abortRun();
}

function Message({ message, progress }) {
  if (message.role === "tool") return <article className="tool">→ {message.content}</article>;
  if (message.role === "reasoning") return <details><summary>Thoughts</summary><p>{message.content}</p></details>;
  return (
    <article className={message.role}>
      {message.content && <p>{message.content}</p>}
      {message.toolCalls?.map((call) => (
        <div key={call.id} className="tool">
          <code>{call.function.name}({call.function.arguments})</code> {progress[call.id]?.message}{" "}
          {progress[call.id]?.total && <progress value={progress[call.id].current} max={progress[call.id].total} />}
        </div>
      ))}
    </article>
  );
}
