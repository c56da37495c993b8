// One answer as people see it: its figures, its timeline, its words, its tools, and the events themselves.

import { clean, label } from "./clean.js";
import { announce, count, eachFrame, make, milliseconds } from "./dom.js";
import { Prose } from "./prose.js";
import { Timeline } from "./timeline.js";

const MOST_EVENTS = 300;
const MOST_TOOL_TEXT = 4000;
const FIGURES = [
  ["first", "First token"], ["rate", "Tokens/s"], ["tokens", "Tokens"], ["chunks", "Pieces"], ["duration", "Duration"],
];

/** `decide(id, approved)` is called when the user decides about a tool; without it nobody is asked. */
export class View {
  constructor(element, { decide = null } = {}) {
    this.decide = decide;
    this.figures = Object.fromEntries(FIGURES.map(([id]) => [id, make("dd", { "data-figure": id })]));
    this.status = make("p", { class: "status", "data-part": "status" });
    this.toolList = make("ul", { class: "tools", "aria-label": "Tools" });
    this.thoughts = make("div", { class: "prose" });
    this.thinking = make("details", { class: "thinking", hidden: true }, make("summary", {}, "Reasoning"), this.thoughts);
    this.words = make("div", { class: "prose", "data-part": "answer" });
    this.suggestions = make("div", { class: "suggestions", hidden: true });
    this.events = make("ol", { class: "events", tabindex: "0", "aria-label": "Events" });
    const figure = make("figure", { class: "timeline-box" });
    element.replaceChildren(
      make("dl", { class: "figures" }, ...FIGURES.map(([id, name]) => make("div", {}, make("dt", {}, name), this.figures[id]))),
      figure,
      this.status,
      this.thinking,
      this.toolList,
      make("article", { class: "answer", "aria-label": "Answer" }, this.words),
      this.suggestions,
      make("details", { class: "log" }, make("summary", {}, "Events as they came"), this.events),
    );
    this.timeline = new Timeline(figure);
    this.prose = new Prose(this.words);
    this.thought = new Prose(this.thoughts);
    this.draw = eachFrame(() => this.#draw());
    this.reset();
  }

  reset() {
    this.timeline.reset();
    this.rows = [];
    this.waiting = [];
    this.output = this.first = this.last = null;
    this.startText();
    this.end = 0;
    this.running = false;
    this.events.replaceChildren();
    this.say("");
    this.draw();
  }

  /** The text begins anew: what tells it, tells all of it. */
  startText() {
    this.prose.reset();
    this.thought.reset();
    this.chunks = 0;
    this.tools = new Map();
    this.toolList.replaceChildren();
    this.suggestions.replaceChildren();
    this.suggestions.hidden = true;
    this.thinking.hidden = true;
    this.pending = { text: [], reasoning: [] };
  }

  /** What is said of an answer stands there once the words that came before it do. */
  say(words, tone = "") {
    this.said = [words, tone];
    if (words) this.draw();
    else this.#drawStatus();
  }

  #drawStatus() {
    const [words, tone] = this.said;
    this.status.textContent = words;
    this.status.dataset.tone = tone;
    this.status.hidden = !words;
  }

  /** Something that happened to the connection. */
  mark(mark, t) {
    this.timeline.mark(mark, t);
    this.#row(t, mark === "head" ? "answered" : mark, "");
  }

  frame(data, t) {
    this.#row(t, "", data);
  }

  event(event, t) {
    this.end = Math.max(this.end, t);
    switch (event.kind) {
      case "text":
      case "reasoning":
        this.#piece(event, t);
        break;
      case "usage":
        if (event.output !== null && event.output !== undefined) this.output = event.output;
        break;
      case "tool":
      case "call":
        this.#tool(event, t);
        break;
      case "approval":
        this.#ask(event);
        break;
      case "approved":
        this.#answered(event);
        break;
      case "status":
        this.say(label(event.text, 200));
        break;
      case "suggestions":
        this.#suggest(event.items);
        break;
      case "heartbeat":
        this.timeline.mark("heartbeat", t);
        break;
      case "error":
        this.timeline.mark("error", t);
        this.say(`${label(event.code, 40)}: ${label(event.message, 500)}`.replace(/^: /, ""), "bad");
        break;
      default:
    }
    this.draw();
  }

  #piece(event, t) {
    if (this.first === null && event.kind === "text") {
      this.first = t;
      this.timeline.mark("first", t);
      announce(`First token after ${milliseconds(t)}`);
    }
    this.last = t;
    this.chunks += event.kind === "text" ? 1 : 0;
    this.pending[event.kind].push(event.text);
    this.timeline.piece(t, event.kind);
  }

  #tool(event, t) {
    const phase = event.kind === "call" ? "call" : event.phase;
    if (phase !== "call") this.timeline.tool(event.id, event.tool, phase, t, event.isError);
    const card = this.tools.get(event.id) ?? this.#card(event);
    if (phase === "call") card.state.textContent = "asked of the client";
    else if (phase === "done") {
      card.element.dataset.state = event.isError ? "failed" : "done";
      card.state.textContent = event.isError ? "failed" : "done";
      card.result.textContent = cut(event.content);
    } else {
      card.element.dataset.state = "running";
      card.state.textContent = event.message ? label(event.message, 80) : phase === "detected" ? "named" : "running";
    }
    if (event.args) card.args.textContent = label(event.args, 400);
  }

  #card(event) {
    const card = {
      state: make("span", { class: "state" }), args: make("code", { class: "args" }), result: make("pre", { class: "result", tabindex: "0" }),
      buttons: make("span", { class: "buttons" }),
    };
    card.element = make(
      "li", { "data-tool": label(event.tool, 60) },
      make("div", { class: "row" }, make("strong", {}, label(event.tool, 60)), card.state, card.buttons),
      card.args, make("details", {}, make("summary", {}, "Result"), card.result),
    );
    this.tools.set(event.id, card);
    this.toolList.append(card.element);
    return card;
  }

  #ask(event) {
    const card = this.tools.get(event.callId) ?? this.#card({ id: event.callId, tool: event.tool });
    card.approval = event.id;
    card.args.textContent = label(event.args, 2000);
    card.element.dataset.state = "asked";
    card.state.textContent = "may it run?";
    announce(`${label(event.tool, 60)} asks for your approval`);
    if (!this.decide) return;
    const button = (words, approved) =>
      make("button", { type: "button", class: approved ? "primary" : "", onclick: () => this.decide(event.id, approved) }, words);
    card.buttons.replaceChildren(button("Allow", true), button("Refuse", false));
  }

  #answered(event) {
    for (const card of this.tools.values()) {
      if (card.approval !== event.id) continue;
      card.state.textContent = event.approved ? "allowed" : "refused";
      card.buttons.replaceChildren();
    }
  }

  #suggest(items) {
    this.suggestions.hidden = !items.length;
    this.suggestions.replaceChildren(
      ...items.map((item) => make("button", { type: "button", "data-suggestion": "", value: item }, label(item, 120))),
    );
  }

  #row(t, name, data) {
    this.waiting.push([t, name, data]);
    if (this.waiting.length > MOST_EVENTS) this.waiting.shift();
    this.draw();
  }

  /** Until when it goes, while it does. */
  now(t, running) {
    this.running = running;
    this.end = Math.max(this.end, t);
    this.timeline.now(this.end, running);
    this.draw();
  }

  #draw() {
    if (this.pending.text.length) this.prose.add(this.pending.text.join(""));
    if (this.pending.reasoning.length) {
      this.thinking.hidden = false;
      this.thought.add(this.pending.reasoning.join(""));
    }
    this.pending = { text: [], reasoning: [] };
    const tokens = this.output ?? (this.chunks || null);
    const talking = this.first === null ? 0 : (this.last ?? this.first) - this.first;
    this.figures.first.textContent = milliseconds(this.first);
    this.figures.tokens.textContent = this.output === null && tokens ? `\u2248 ${count(tokens)}` : count(this.output);
    this.figures.chunks.textContent = count(this.chunks);
    this.figures.rate.textContent = tokens > 1 && talking > 50 ? (((tokens - 1) / talking) * 1000).toFixed(1) : "\u2013";
    this.figures.duration.textContent = this.end ? milliseconds(this.end) : "\u2013";
    this.#drawEvents();
    this.#drawStatus();
  }

  #drawEvents() {
    if (!this.waiting.length) return;
    for (const [t, name, data] of this.waiting) {
      this.events.append(
        make("li", {}, make("time", {}, milliseconds(t)), name ? make("em", {}, name) : null, make("code", {}, label(data, 400))),
      );
    }
    this.waiting = [];
    while (this.events.childElementCount > MOST_EVENTS) this.events.firstChild.remove();
  }
}

function cut(content) {
  const text = clean(content ?? "");
  return text.length > MOST_TOOL_TEXT ? `${text.slice(0, MOST_TOOL_TEXT)}\u2026` : text || "(nothing)";
}
