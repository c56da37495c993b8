// The playground: one question at a time to any surface, watched live.

import { json, open } from "./api.js";
import { clean, label } from "./clean.js";
import { announce, byId, make, milliseconds } from "./dom.js";
import { Session } from "./session.js";
import { snippets } from "./snippets.js";
import { SURFACES } from "./surfaces.js";
import { tabs } from "./tabs.js";
import { View } from "./view.js";

const BUSY = new Set(["connecting", "open", "waiting"]);
const TRANSPORTS = { plain: "sse", socket: "socket" };

export class Playground {
  constructor() {
    this.view = new View(byId("live"), { decide: (id, approved) => this.#decide(id, approved) });
    this.turns = [];
    this.session = null;
    this.defaultModel = "";
    this.language = "curl";
    this.#newConversation();
    this.#offer([]);
    this.#listen();
  }

  show() {
    this.view.timeline.redraw();
  }

  online() {
    this.session?.retryNow();
  }

  /** What there is to choose from, once the gateway answers. */
  async load(state) {
    this.defaultModel = state.default_model;
    this.#offer(state.endpoints);
    byId("model").placeholder = state.default_model;
    const [models, tools] = await Promise.allSettled([json("/v1/models"), json("/mcp/tools")]);
    if (models.status === "fulfilled") {
      byId("models").replaceChildren(...models.value.data.map((one) => make("option", { value: one.id })));
    }
    this.#offerTools(tools.status === "fulfilled" ? tools.value.tools : []);
    this.#changed();
  }

  #offer(endpoints) {
    const chosen = this.surface?.id ?? "plain";
    const there = SURFACES.filter(({ path, socket }) => !socket && (endpoints.includes(path) || !endpoints.length));
    const groups = new Map();
    for (const one of there) groups.set(one.group, [...(groups.get(one.group) ?? []), one]);
    byId("surface").replaceChildren(
      ...[...groups].map(([name, all]) =>
        make("optgroup", { label: name }, ...all.map((one) => make("option", { value: one.id, selected: one.id === chosen }, one.name))),
      ),
    );
    this.#chooseSurface();
  }

  #offerTools(tools) {
    byId("tool-choices").replaceChildren(
      ...tools.map((tool) =>
        make("label", { title: label(tool.description, 300) }, make("input", { type: "checkbox", value: tool.name, checked: true }), ` ${label(tool.name, 60)}`),
      ),
    );
    if (!tools.length) byId("tool-choices").append(make("p", { class: "hint" }, "This gateway has no tools of its own: see docs/tools.md."));
  }

  #chooseSurface() {
    const id = byId("surface").value || "plain";
    const socket = byId("ask").elements.transport.value === "socket";
    this.surface = SURFACES.find((one) => one.id === (id === "plain" && socket ? "socket" : id));
    byId("transport").hidden = !(this.surface.id in TRANSPORTS);
    byId("tools").hidden = !this.surface.tools;
    this.#changed();
  }

  #listen() {
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    byId("ask").addEventListener("input", () => this.#changed());
    byId("surface").addEventListener("change", () => this.#chooseSurface());
    byId("transport").addEventListener("change", () => this.#chooseSurface());
    byId("stop").addEventListener("click", () => this.#stop());
    byId("cut").addEventListener("click", () => this.session.cut());
    byId("resume").addEventListener("click", () => this.session.resume());
    byId("new-conversation").addEventListener("click", () => this.#newConversation());
    byId("copy-answer").addEventListener("click", () => copy(this.view.prose.text, "The answer"));
    byId("copy-code").addEventListener("click", () => copy(byId("code").textContent, "The call"));
    byId("live").addEventListener("click", ({ target }) => {
      if (target.dataset.suggestion === undefined) return;
      byId("message").value = target.value;
      byId("message").focus();
      this.#changed();
    });
    document.addEventListener("keydown", (event) => {
      if (byId("playground").hidden || document.querySelector("dialog[open]")) return;
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
      if (event.key === "Escape" && !byId("stop").disabled) this.#stop();
    });
    tabs(byId("languages"), (tab) => {
      this.language = tab.id.replace("code-", "");
      byId("code").setAttribute("aria-labelledby", tab.id);
      this.#changed();
    });
  }

  #form() {
    const boxes = [...byId("tool-choices").querySelectorAll("input")];
    return {
      model: byId("model").value.trim() || this.defaultModel,
      system: byId("system").value.trim(),
      maxTokens: Number(byId("max-tokens").value) || null,
      messages: [...this.turns, { role: "user", content: byId("message").value }],
      tools: boxes.every((box) => box.checked) ? null : boxes.filter((box) => box.checked).map((box) => box.value),
      streamId: this.streamId,
      session: this.conversation,
    };
  }

  #changed() {
    if (!this.surface) return;
    byId("code").textContent = snippets(this.surface, this.surface.ask(this.#form()))[this.language];
  }

  #send() {
    const busy = this.session && BUSY.has(this.session.state);
    if (busy || !byId("message").value.trim()) return;
    const { view } = this;
    const form = this.#form();
    this.session?.close();
    this.#keepTurn();
    form.messages = [...this.turns, form.messages.at(-1)];
    this.asked = form.messages.at(-1).content;
    view.reset();
    this.#changed();
    this.began = performance.now();
    const session = new Session(this.surface, form, (event) => session === this.session && this.#take(event));
    this.session = session;
    this.#tick(session);
    session.start();
  }

  get #t() {
    return performance.now() - this.began;
  }

  #take(event) {
    const t = this.#t;
    if (event.kind === "mark") {
      if (event.again) this.view.startText();
      this.view.mark(event.mark, t);
    } else if (event.kind === "frame") this.view.frame(event.data, t);
    else if (event.kind === "state") this.#entered(event, t);
    else this.view.event(event, t);
  }

  #entered({ state, wait, reason, message }, t) {
    const says = {
      connecting: ["Asking\u2026", ""],
      open: ["", ""],
      cut: [this.session.canResume ? "The connection is cut; the run goes on without us. Resume takes it up." : "The connection is cut.", "warn"],
      waiting: [`The connection was lost. Trying again in ${milliseconds(wait)}.`, "warn"],
      ended: [reason ? `Ended: ${label(reason, 80)}` : "Ended", "good"],
      failed: [label(message ?? "It failed.", 500), "bad"],
    };
    this.view.say(...says[state]);
    if (state === "ended") this.view.timeline.mark("end", t);
    if (!BUSY.has(state)) this.view.now(t, false);
    if (state === "ended") announce(`The answer is complete, after ${milliseconds(t)}`);
    if (state === "failed") announce(`It failed: ${label(message, 200)}`);
    if (state === "waiting" || state === "cut") announce("The connection is lost");
    this.#enable();
  }

  #enable() {
    const { session } = this;
    const busy = Boolean(session) && BUSY.has(session.state);
    byId("send").disabled = busy;
    byId("stop").disabled = !busy;
    byId("cut").disabled = !busy || session.state !== "open";
    byId("resume").disabled = !session || !session.canResume || !["cut", "waiting", "failed"].includes(session.state);
    byId("copy-answer").disabled = !session;
    byId("new-conversation").disabled = busy || !session;
  }

  #tick(session) {
    if (session !== this.session || ["ended", "failed"].includes(session.state)) return;
    this.view.now(this.#t, true);
    setTimeout(() => requestAnimationFrame(() => this.#tick(session)), 40);
  }

  async #stop() {
    try {
      await this.session.stop();
    } catch (error) {
      this.view.say(label(error.message, 300), "bad");
    }
  }

  async #decide(id, approved) {
    const run = encodeURIComponent(this.session.known.runId);
    try {
      const headers = { "content-type": "application/json" };
      await open(`/api/v1/runs/${run}/approve`, { method: "POST", headers, body: JSON.stringify({ id, approved }) });
    } catch (error) {
      this.view.say(label(error.message, 300), "bad");
    }
  }

  /** What was said becomes what the next question follows. */
  #keepTurn() {
    const said = this.view.prose.text;
    if (this.session?.known.session) this.conversation = this.session.known.session;
    if (!this.asked || !said) return;
    this.turns.push({ role: "user", content: this.asked }, { role: "assistant", content: said });
    const turn = (who, words) => make("div", { class: `turn ${who}` }, make("span", { class: "who" }, who), make("p", { dir: "auto" }, clean(words)));
    byId("history").append(turn("you", this.asked), turn("model", said.length > 20_000 ? `${said.slice(0, 20_000)}\u2026` : said));
    byId("history").hidden = false;
    byId("history").scrollTop = byId("history").scrollHeight;
  }

  #newConversation() {
    this.session?.close();
    this.session = null;
    this.turns = [];
    this.asked = null;
    this.conversation = null;
    this.streamId = `page-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
    byId("history").replaceChildren();
    byId("history").hidden = true;
    this.view.reset();
    this.view.say("Ask something, and watch it come.");
    this.#enable();
    this.#changed();
  }
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    announce(`${what} is copied`);
  } catch {
    announce(`${what} could not be copied; this browser does not let pages do so here`);
  }
}
