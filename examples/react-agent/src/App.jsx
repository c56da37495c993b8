import { HttpAgent } from "@ag-ui/client";
import { useEffect, useRef, useState } from "react";

// The thread is in the address, and what the page knows of it in the browser: so a reload goes on with the run that is
// under way, and so does another tab.
const thread = location.hash.slice(1) || crypto.randomUUID();
history.replaceState(null, "", `#${thread}`);
addEventListener("hashchange", () => location.reload());
const NEW = { messages: [], progress: {}, questions: [], answers: {}, run: null, error: "", lost: false };
const kept = () => JSON.parse(localStorage.getItem(thread)) ?? NEW;

const agent = new HttpAgent({ url: "/agui", threadId: thread });

export function App() {
  const [known, setKnown] = useState(kept);
  const [draft, setDraft] = useState("");
  const last = useRef(null); // the run that was followed last
  const taken = useRef(null); // what another tab has kept
  const { messages, progress, questions, answers, run, error, lost } = known;
  const note = (more) => setKnown((before) => ({ ...before, ...(typeof more === "function" ? more(before) : more) }));

  useEffect(() => {
    if (known !== taken.current) localStorage.setItem(thread, JSON.stringify(known));
  }, [known]);
  useEffect(() => {
    if (run) follow(run);
  }, []);
  useEffect(() => {
    const take = (event) => {
      if (event.key !== thread || run) return;
      const theirs = JSON.parse(event.newValue);
      if (!theirs.run) setKnown((taken.current = theirs));
      else if (theirs.run.id !== last.current) follow(theirs.run);
    };
    addEventListener("storage", take);
    return () => removeEventListener("storage", take);
  }, [run]);

  // A run whose id is known is told again from its beginning: that is how it is followed by whoever comes later, and
  // after the network was away.
  async function follow(followed) {
    last.current = followed.id;
    note({ run: followed, questions: [], answers: {}, error: "" });
    for (let ended = false; !ended; ) {
      agent.setMessages(followed.before);
      agent.pendingInterrupts = [];
      try {
        await agent.runAgent({ runId: followed.id, resume: followed.resume }, watch);
        ended = true;
      } catch (failure) {
        ended = !(failure instanceof TypeError); // what `fetch` says of a network that breaks
        note(ended ? { error: failure.message, questions: followed.questions } : { lost: true });
        if (!ended) await connected();
      }
    }
    note({ run: null, lost: false });
  }

  const watch = {
    onRunStartedEvent: () => note({ lost: false }),
    onMessagesChanged: ({ messages: now }) => note({ messages: [...now] }),
    onCustomEvent: ({ event }) => {
      if (event.name !== "millstream.tool_progress") return;
      note(({ progress: before }) => ({ progress: { ...before, [event.value.toolCallId]: event.value } }));
    },
    onRunFinishedEvent: ({ interrupts }) => interrupts && note({ questions: interrupts }),
    onRunErrorEvent: ({ event }) => note({ error: event.message }),
  };

  function send(event) {
    event.preventDefault();
    if (!draft.trim() || run || questions.length > 0) return;
    const id = crypto.randomUUID();
    const before = [...messages, { id: crypto.randomUUID(), role: "user", content: draft }];
    setDraft("");
    note({ messages: before });
    follow({ id, gateways: id, before, questions: [] });
  }

  // A run with questions goes on, in another one, when all of them are answered.
  function answer(question, approved) {
    const all = { ...answers, [question.id]: approved };
    note({ answers: all });
    if (questions.some(({ id }) => !(id in all))) return;
    const resume = questions.map(({ id, reason }) => ({
      interruptId: id,
      status: "resolved",
      payload: reason === "tool_call" ? { approved: all[id] } : { action: all[id] ? "accept" : "decline" },
    }));
    follow({ id: crypto.randomUUID(), gateways: question.metadata.runId, before: messages, resume, questions });
  }

  // Leaving the stream would not end the run, which others may be reading: the gateway is asked to.
  async function stop() {
    const asked = fetch(`/api/v1/runs/${run.gateways}/cancel`, { method: "POST" });
    const stopped = await asked.then((response) => response.ok, () => false);
    if (!stopped) note({ error: "It cannot be stopped now." });
  }

  const tools = {
    result: (call) => messages.find((m) => m.toolCallId === call),
    progress: (call) => progress[call],
    question: (call) => questions.find((q) => q.toolCallId === call),
    answers,
    answer,
  };
  return (
    <main>
      <h1>An agent that asks</h1>
      <section aria-label="Conversation" aria-live="polite" aria-busy={Boolean(run)}>
        {messages.map((message) => (
          <Message key={message.id} message={message} tools={tools} />
        ))}
      </section>
      {lost && <p role="status">The connection is lost. The run goes on, and so does this page when it is back.</p>}
      {error && <p role="alert">{error}</p>}
      <form onSubmit={send}>
        <input aria-label="Message" value={draft} onChange={(event) => setDraft(event.target.value)} />
        {run ? <button key="stop" type="button" onClick={stop}>Stop</button> : <button key="send">Send</button>}
      </form>
    </main>
  );
}

const connected = () =>
  new Promise((go) => {
    addEventListener("online", go, { once: true });
    if (navigator.onLine) setTimeout(go, 1000);
  });

function Message({ message, tools }) {
  if (message.role === "tool") return null;
  if (message.role === "reasoning") return <details><summary>Thoughts</summary><p>{message.content}</p></details>;
  return (
    <article className={message.role} aria-label={message.role === "user" ? "You" : "Agent"}>
      {message.content && <p>{message.content}</p>}
      {message.toolCalls?.map(({ id, function: called }) => (
        <div key={id} className="tool">
          <code>{called.name}({called.arguments})</code>
          <Call result={tools.result(id)} question={tools.question(id)} progress={tools.progress(id)} tools={tools} />
        </div>
      ))}
    </article>
  );
}

function Call({ result, question, progress, tools }) {
  if (result) return <p>{result.content}</p>;
  if (question && question.id in tools.answers) return <p>{tools.answers[question.id] ? "Allowed." : "Refused."}</p>;
  if (question)
    return (
      <p role="group" aria-label={question.message}>
        {question.message} <button onClick={() => tools.answer(question, true)}>Allow</button>
        <button onClick={() => tools.answer(question, false)}>Refuse</button>
      </p>
    );
  if (!progress) return null;
  return <label>{progress.message} <progress value={progress.current} max={progress.total ?? undefined} /></label>;
}
