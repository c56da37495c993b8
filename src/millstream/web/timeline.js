// What happened when, drawn as it happens: the connection, the tokens as columns, and a bar for each run of a tool.

import { label } from "./clean.js";
import { eachFrame, milliseconds, roundUp, svg } from "./dom.js";

const LEFT = 84;
const RIGHT = 14;
const CONNECTION_Y = 26;
const TOKENS_TOP = 46;
const TOKENS_HEIGHT = 58;
const BAR_HEIGHT = 20;
const MOST_BARS = 12;
const COLUMN = 4;
const SHORTEST_MS = 400;
const SIGNS = { first: "first token", cut: "cut", lost: "lost", resume: "resumed", error: "error", end: "end", head: "answered" };

export class Timeline {
  constructor(figure) {
    this.figure = figure;
    this.image = svg("svg", { class: "timeline", role: "img", "aria-label": "Timeline: nothing yet" });
    figure.append(this.image);
    this.redraw = eachFrame(() => this.#draw());
    new ResizeObserver(() => this.redraw()).observe(figure);
    this.reset();
  }

  reset() {
    this.marks = [];
    this.beats = [];
    this.pieces = [];
    this.spans = [];
    this.tools = new Map();
    this.end = 0;
    this.running = false;
    this.redraw();
  }

  /** `t` is in milliseconds since the request. */
  mark(mark, t) {
    this.end = Math.max(this.end, t);
    if (mark === "heartbeat") this.beats.push(t);
    else if (mark === "request") this.spans.push({ from: t, open: null, to: null });
    else this.#sign(mark, t);
    this.redraw();
  }

  #sign(mark, t) {
    const span = this.spans.at(-1);
    if (mark === "head" && span) span.open = t;
    if (span && span.to === null && ["cut", "lost", "end", "error"].includes(mark)) span.to = t;
    this.marks.push({ mark, t });
  }

  piece(t, kind) {
    this.end = Math.max(this.end, t);
    this.pieces.push({ t, kind });
    this.redraw();
  }

  tool(id, name, phase, t, isError) {
    this.end = Math.max(this.end, t);
    const bar = this.tools.get(id) ?? { name: name ?? id, from: t, run: null, to: null, ticks: [], isError: false };
    if (name) bar.name = name;
    if (phase !== "detected" && bar.run === null) bar.run = t;
    if (phase === "progress") bar.ticks.push(t);
    if (phase === "done") Object.assign(bar, { to: t, isError: Boolean(isError) });
    this.tools.set(id, bar);
    this.redraw();
  }

  /** Until when it goes, also where nothing happens. */
  now(t, running) {
    this.running = running;
    this.end = Math.max(this.end, t);
    this.redraw();
  }

  #draw() {
    const width = Math.max(280, this.figure.clientWidth);
    const bars = [...this.tools.values()].slice(-MOST_BARS);
    const toolsTop = TOKENS_TOP + TOKENS_HEIGHT + 14;
    const bottom = toolsTop + bars.length * (BAR_HEIGHT + 4) + (bars.length ? 6 : 0);
    const height = bottom + 22;
    const span = Math.max(SHORTEST_MS, this.end * (this.running ? 1.06 : 1.02));
    const x = (t) => LEFT + (t / span) * (width - LEFT - RIGHT);
    this.image.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.image.setAttribute("height", height);
    this.image.setAttribute("aria-label", this.summary());
    this.image.replaceChildren(
      ...this.#axis(span, x, bottom),
      ...this.#connection(x, width),
      ...this.#tokens(span, x, width),
      ...bars.flatMap((bar, n) => this.#bar(bar, x, toolsTop + n * (BAR_HEIGHT + 4), width)),
    );
  }

  #axis(span, x, bottom) {
    const step = roundUp(span / (x(span) > 600 ? 8 : 4));
    const found = [];
    for (let t = 0; t <= span; t += step) {
      found.push(svg("line", { class: "grid", x1: x(t), x2: x(t), y1: 14, y2: bottom }));
      const anchor = t === 0 ? "start" : x(t) + 24 > x(span) ? "end" : "middle";
      found.push(text(milliseconds(t).replace(/\.0+ /, " "), x(t), bottom + 16, "axis", anchor));
    }
    return found;
  }

  #connection(x, width) {
    const found = [text("connection", 0, CONNECTION_Y + 4, "lane")];
    for (const { from, open, to } of this.spans) {
      const until = to ?? this.end;
      const opened = open ?? until;
      found.push(svg("line", { class: "waiting", x1: x(from), x2: x(opened), y1: CONNECTION_Y, y2: CONNECTION_Y }));
      if (open !== null) found.push(svg("line", { class: "open", x1: x(opened), x2: x(until), y1: CONNECTION_Y, y2: CONNECTION_Y }));
      found.push(svg("circle", { class: "sign request", cx: x(from), cy: CONNECTION_Y, r: 4 }));
    }
    for (const t of this.beats) found.push(svg("path", { class: "beat", d: `M${x(t)} ${CONNECTION_Y - 7}v14` }));
    let free = -1;
    for (const { mark, t } of this.marks) {
      found.push(sign(mark, x(t)));
      const words = SIGNS[mark];
      const wide = words.length * 6.2;
      const left = Math.min(Math.max(x(t) - wide / 2, LEFT), width - RIGHT - wide);
      if (mark !== "head" && left > free) {
        found.push(text(words, left, 12, `said ${mark}`));
        free = left + wide + 8;
      }
    }
    return found;
  }

  #tokens(span, x, width) {
    const columns = Math.max(1, Math.floor((width - LEFT - RIGHT) / COLUMN));
    const counts = new Map();
    let most = 4;
    for (const { t, kind } of this.pieces) {
      const column = Math.min(columns - 1, Math.floor((t / span) * columns));
      const found = counts.get(column) ?? { text: 0, reasoning: 0 };
      found[kind] += 1;
      most = Math.max(most, found.text + found.reasoning);
      counts.set(column, found);
    }
    const bottom = TOKENS_TOP + TOKENS_HEIGHT;
    const high = (n) => (n ? Math.max(3, (TOKENS_HEIGHT - 4) * Math.sqrt(n / most)) : 0);
    const paths = { text: "", reasoning: "" };
    for (const [column, found] of counts) {
      const left = (LEFT + column * COLUMN).toFixed(1);
      const below = high(found.reasoning);
      if (below) paths.reasoning += `M${left} ${bottom}h3v${-below}h-3z`;
      if (found.text) paths.text += `M${left} ${bottom - below}h3v${-high(found.text)}h-3z`;
    }
    return [
      text("tokens", 0, bottom - TOKENS_HEIGHT / 2 + 4, "lane"),
      svg("line", { class: "floor", x1: LEFT, x2: width - RIGHT, y1: bottom + 0.5, y2: bottom + 0.5 }),
      svg("path", { class: "reasoning", d: paths.reasoning }),
      svg("path", { class: "tokens", d: paths.text }),
    ];
  }

  #bar(bar, x, y, width) {
    const until = bar.to ?? this.end;
    const run = bar.run ?? until;
    const state = bar.to === null ? "running" : bar.isError ? "failed" : "done";
    const end = x(until);
    const words = `${label(bar.name, 24)}  ${milliseconds(until - run)}${bar.isError ? "  failed" : ""}`;
    const inside = end + 8 + words.length * 6.4 > width;
    return [
      svg("rect", { class: "asked", x: x(bar.from), y: y + 6, width: Math.max(1, x(run) - x(bar.from)), height: BAR_HEIGHT - 12 }),
      svg("rect", { class: `tool ${state}`, x: x(run), y, width: Math.max(3, end - x(run)), height: BAR_HEIGHT, rx: 3 }),
      ...bar.ticks.map((t) => svg("line", { class: "tick", x1: x(t), x2: x(t), y1: y + 3, y2: y + BAR_HEIGHT - 3 })),
      text(words, inside ? x(run) - 6 : end + 8, y + 14, "bar", inside ? "end" : "start"),
    ];
  }

  summary() {
    const first = this.marks.find(({ mark }) => mark === "first");
    const said = [`${this.pieces.length} pieces of text in ${milliseconds(this.end)}`];
    if (first) said.unshift(`first token after ${milliseconds(first.t)}`);
    if (this.tools.size) said.push(`${this.tools.size} tool runs`);
    if (this.beats.length) said.push(`${this.beats.length} heartbeats`);
    const resumes = this.marks.filter(({ mark }) => mark === "resume").length;
    if (resumes) said.push(`resumed ${resumes} times`);
    return `Timeline: ${said.join(", ")}`;
  }
}

function text(words, x, y, name, anchor = "start") {
  return svg("text", { class: name, x, y, "text-anchor": anchor }, words);
}

function sign(mark, x) {
  const y = CONNECTION_Y;
  if (mark === "cut" || mark === "lost" || mark === "error") {
    return svg("path", { class: `sign ${mark}`, d: `M${x - 5} ${y - 5}l10 10M${x - 5} ${y + 5}l10 -10` });
  }
  if (mark === "resume") return svg("path", { class: "sign resume", d: `M${x - 4} ${y - 6}l9 6l-9 6z` });
  return svg("circle", { class: `sign ${mark}`, cx: x, cy: y, r: mark === "head" ? 3 : 5 });
}
