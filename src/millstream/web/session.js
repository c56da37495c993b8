// One answer on its way: it is asked for, followed, and taken up again when its connection breaks.

import { Refused, open, socket } from "./api.js";
import { SseReader } from "./sse.js";

const TRIES = 6;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

/**
 * `tell` gets what happens: the surface's events, and `{kind: "state", state, …}` and `{kind: "mark", mark}` of the
 * connection. States: connecting, open, cut, waiting, ended, failed.
 */
export class Session {
  constructor(surface, form, tell) {
    this.surface = surface;
    this.request = surface.ask(form);
    this.state = "idle";
    this.tell = tell;
    this.known = { runId: null, last: 0, streamId: form.streamId, request: this.request };
    this.raw = 0;
    this.failures = 0;
    this.connection = 0;
    this.ending = false;
  }

  get canResume() {
    return this.state !== "ended" && Boolean(this.surface.resume?.(this.known));
  }

  start() {
    return this.#connect(this.request);
  }

  /** As a lost network does: nobody is told, and nothing more comes. */
  cut() {
    this.#drop();
    this.tell({ kind: "mark", mark: "cut" });
    this.#enter("cut");
  }

  resume() {
    const request = this.surface.resume(this.known);
    this.#drop();
    this.tell({ kind: "mark", mark: "resume", again: Boolean(this.surface.again) });
    this.ending = false;
    if (this.surface.again) this.known.last = 0;
    return this.#connect(request);
  }

  /** Ends the run itself, where it can be named. */
  async stop() {
    const { runId } = this.known;
    this.failures = TRIES;
    if (runId && this.request.method === "WS") this.live?.send(JSON.stringify({ type: "cancel", stream_id: this.known.streamId }));
    else if (runId) await open(`/api/v1/runs/${encodeURIComponent(runId)}/cancel`, { method: "POST" });
    else this.close();
  }

  close() {
    this.#drop();
    if (this.state !== "ended" && this.state !== "failed") this.#enter("ended", { reason: "stopped" });
  }

  #drop() {
    this.connection += 1; // what still comes of the former connection is nobody's
    clearTimeout(this.timer);
    this.aborter?.abort();
    this.live?.close();
    this.live = null;
  }

  #enter(state, more = {}) {
    this.state = state;
    this.tell({ kind: "state", state, ...more });
  }

  async #connect(request) {
    const connection = ++this.connection;
    const current = () => connection === this.connection;
    this.#enter("connecting");
    this.tell({ kind: "mark", mark: "request" });
    try {
      await (request.method === "WS" ? this.#follow(request, current) : this.#read(request, current));
      if (current() && !this.#over) this.#lost("the connection ended before the answer did");
    } catch (error) {
      if (!current()) return;
      if (error instanceof Refused) this.#refused(error);
      else this.#lost(error.message);
    }
  }

  get #over() {
    return this.state === "ended" || this.state === "failed";
  }

  async #read(request, current) {
    this.aborter = new AbortController();
    const body = request.body && JSON.stringify(request.body);
    const response = await open(request.path, { ...request, body, signal: this.aborter.signal });
    if (!current()) return;
    this.known.runId = response.headers.get("x-millstream-run") ?? this.known.runId;
    this.#opened();
    if (response.status === 204) {
      this.#event({ kind: "end", reason: "nothing is left" });
      return;
    }
    const reader = new SseReader();
    const bytes = response.body.getReader();
    const read = this.surface.frames();
    for (;;) {
      const { done, value } = await bytes.read();
      if (done || !current()) break;
      this.failures = 0;
      for (const frame of reader.feed(value)) {
        if (frame.comment !== undefined) this.#event({ kind: "heartbeat" });
        else this.#frame(frame.data, frame.id, read);
      }
    }
    if (current() && this.ending) this.#end();
  }

  #follow(request, current) {
    return new Promise((resolve, reject) => {
      const live = socket(request.path);
      const read = this.surface.frames();
      this.live = live;
      live.onopen = () => {
        if (!current()) return;
        this.#opened();
        live.send(JSON.stringify(request.body));
      };
      live.onmessage = ({ data }) => {
        if (!current()) return;
        this.failures = 0;
        this.#frame(data, JSON.parse(data).seq, read);
        if (!this.ending && !this.#over) return;
        this.#end();
        live.close();
      };
      live.onclose = () => (this.#over || !current() ? resolve() : reject(new Error("the connection was lost")));
    });
  }

  #opened() {
    this.tell({ kind: "mark", mark: "head" });
    this.#enter("open");
  }

  #frame(data, id, read) {
    this.raw += 1;
    let said;
    try {
      said = JSON.parse(data);
    } catch {
      said = data;
    }
    const number = Number(id);
    if (Number.isFinite(number) && number > this.known.last) this.known.last = number;
    this.tell({ kind: "frame", data });
    for (const event of read(said)) this.#event(event);
  }

  #event(event) {
    if (event.runId) this.known.runId = event.runId;
    if (event.session) this.known.session = event.session;
    if (event.reason) this.reason = event.reason;
    if (event.kind === "end") {
      this.ending = true;
      this.tell({ ...event, kind: "usage" });
      return;
    }
    this.tell(event);
    if (event.kind === "error") this.#enter("failed", { message: event.message });
  }

  #end() {
    if (!this.#over) this.#enter("ended", { reason: this.reason ?? "" });
  }

  #refused(error) {
    this.tell({ kind: "error", code: String(error.status), message: error.message, retryable: false });
    this.#enter("failed", { message: error.message, status: error.status });
  }

  #lost(why) {
    if (this.ending) {
      this.#end();
      return;
    }
    this.tell({ kind: "mark", mark: "lost" });
    if (!this.canResume || this.failures >= TRIES) {
      this.tell({ kind: "error", code: "connection", message: why, retryable: true });
      this.#enter("failed", { message: why });
      return;
    }
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.failures);
    this.failures += 1;
    this.#enter("waiting", { wait });
    this.timer = setTimeout(() => this.resume(), wait);
  }

  /** The network is back: there is no reason to wait longer. */
  retryNow() {
    if (this.state === "waiting") this.resume();
  }
}

