// The runs that the gateway keeps: listed, looked into while they go on, and replayed at any speed.

import { Refused, json, open } from "./api.js";
import { label } from "./clean.js";
import { announce, byId, count, make, milliseconds } from "./dom.js";
import { readLine } from "./journal.js";
import { View } from "./view.js";

const POLL_MS = 300;
const TICKS_BETWEEN_LISTS = 2;
const TICK_MS = 16;

export class Runs {
  constructor() {
    this.view = new View(byId("run-view"), { decide: (id, approved) => this.#decide(id, approved) });
    this.open = null;
    this.ticks = 0;
    this.playing = 0;
    byId("runs-refresh").addEventListener("click", () => this.#list());
    byId("replay").addEventListener("click", () => this.#replay());
    byId("pause").addEventListener("click", () => this.#pause());
    byId("run-cancel").addEventListener("click", () => this.#cancel());
    byId("run-delete").addEventListener("click", () => byId("delete-dialog").showModal());
    byId("delete-dialog").addEventListener("close", () => byId("delete-dialog").returnValue === "delete" && this.#delete());
  }

  show() {
    this.view.timeline.redraw();
    return this.#list();
  }

  tick() {
    this.ticks += 1;
    if (!byId("runs").hidden && this.ticks % TICKS_BETWEEN_LISTS === 0) this.#list();
  }

  async #list() {
    try {
      const { runs } = await json("/api/v1/runs?limit=100");
      byId("runs-empty").hidden = runs.length > 0;
      const focused = document.activeElement?.dataset?.run;
      document.querySelector("#runs-table tbody").replaceChildren(...runs.map((run) => this.#row(run)));
      if (focused) document.querySelector(`#runs-table [data-run="${CSS.escape(focused)}"]`)?.focus();
      const now = runs.find((run) => run.id === this.open?.id);
      if (now) this.#about(now);
    } catch (error) {
      if (!(error instanceof Refused && error.status === 401)) this.#failed(error);
    }
  }

  #row(run) {
    const number = (value) => make("td", { class: "number" }, value);
    const chosen = this.open?.id === run.id;
    const button = make("button", { type: "button", class: "link", "data-run": run.id, "aria-pressed": String(chosen), onclick: () => this.#look(run) }, run.id);
    return make(
      "tr", { class: chosen ? "chosen" : null },
      make("td", {}, button),
      make("td", {}, make("span", { class: "pill", "data-state": tone(run.state) }, label(run.state, 30))),
      make("td", {}, label(run.surface, 30)),
      make("td", {}, label(run.model, 60)),
      number(count(run.events)), number(count(run.output_tokens)),
      number(run.seconds === null ? "\u2013" : milliseconds(run.seconds * 1000)),
      make("td", {}, make("time", { datetime: run.created }, new Date(run.created).toLocaleTimeString())),
    );
  }

  #about(run) {
    this.open.state = run.state;
    byId("run-title").textContent = `Run ${run.id}`;
    byId("run-cancel").disabled = run.state !== "running";
  }

  async #look(run) {
    this.#halt();
    this.open = { id: run.id, state: run.state, entries: [], last: run.first_event - 1 };
    byId("run").hidden = false;
    this.#about(run);
    this.view.reset();
    byId("run-title").focus();
    this.#list();
    if (run.state === "running") await this.#follow();
    else await this.#replay();
  }

  /** Everything kept that is not here yet. */
  async #fetch(opened) {
    for (;;) {
      const path = `/api/v1/runs/${encodeURIComponent(opened.id)}/events?after=${opened.last}`;
      const response = await open(path);
      const lines = (await response.text()).split("\n").filter(Boolean);
      opened.entries.push(...lines.map(readLine));
      opened.last += lines.length;
      if (!lines.length || opened.last >= Number(response.headers.get("x-millstream-last"))) return;
    }
  }

  /** A run under way: what it has said, then each event when it comes. */
  async #follow() {
    const opened = this.open;
    const playing = ++this.playing;
    let shown = 0;
    this.view.say("Live", "good");
    this.view.mark("request", 0);
    this.view.mark("head", 0);
    try {
      for (;;) {
        await this.#fetch(opened);
        if (playing !== this.playing) return;
        for (; shown < opened.entries.length; shown += 1) this.#show(opened, shown);
        if (opened.entries.at(-1)?.name === "RunEnd") break;
        const since = opened.entries.length ? Date.now() - opened.entries[0].at : 0;
        this.view.now(Math.max(0, since), true);
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        if (playing !== this.playing) return;
      }
      this.#ended(opened);
      this.#list();
    } catch (error) {
      if (playing === this.playing) this.#failed(error);
    }
  }

  async #replay() {
    const opened = this.open;
    this.#halt();
    const playing = this.playing;
    try {
      await this.#fetch(opened);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (playing !== this.playing) return;
    this.view.reset();
    this.view.mark("request", 0);
    this.view.mark("head", 0);
    byId("pause").disabled = false;
    this.player = { opened, at: 0, clock: 0, since: performance.now(), playing };
    this.#play();
  }

  #play() {
    const { player } = this;
    if (!player || player.playing !== this.playing) return;
    const now = performance.now();
    const speed = Number(byId("speed").value);
    const { entries } = player.opened;
    player.clock = speed === 0 ? Infinity : player.clock + (now - player.since) * speed;
    player.since = now;
    while (player.at < entries.length && entries[player.at].at - entries[0].at <= player.clock) {
      this.#show(player.opened, player.at);
      player.at += 1;
    }
    if (player.at >= entries.length) {
      this.#ended(player.opened);
      return;
    }
    this.view.now(player.clock, true);
    this.timer = setTimeout(() => this.#play(), TICK_MS);
  }

  #show(opened, at) {
    const { entries } = opened;
    const entry = entries[at];
    const t = entry.at - entries[0].at;
    this.view.frame(entry.name, t);
    if (entry.event && entry.event.kind !== "end") this.view.event(entry.event, t);
    else if (entry.event) this.view.event({ ...entry.event, kind: "usage" }, t);
  }

  #ended(opened) {
    const last = opened.entries.at(-1);
    const t = last ? last.at - opened.entries[0].at : 0;
    this.view.timeline.mark("end", t);
    this.view.now(t, false);
    const end = last?.event;
    const failed = opened.entries.some(({ name }) => name === "Fault");
    if (!failed) this.view.say(end?.kind === "end" ? `Ended: ${label(end.reason, 80)}` : "This is all that was kept", "good");
    byId("pause").disabled = true;
    byId("pause").textContent = "Pause";
    this.player = null;
    announce("The run is shown to its end");
  }

  #pause() {
    const { player } = this;
    if (!player) return;
    player.paused = !player.paused;
    byId("pause").textContent = player.paused ? "Go on" : "Pause";
    clearTimeout(this.timer);
    player.since = performance.now();
    if (!player.paused) this.#play();
  }

  #halt() {
    this.playing += 1;
    clearTimeout(this.timer);
    this.player = null;
    byId("pause").disabled = true;
    byId("pause").textContent = "Pause";
  }

  async #cancel() {
    await this.#ask("POST", "/cancel");
    this.#list();
  }

  async #delete() {
    this.#halt();
    if (!(await this.#ask("DELETE", ""))) return;
    this.open = null;
    byId("run").hidden = true;
    await this.#list();
    byId("runs-refresh").focus();
    announce("The run is deleted");
  }

  async #ask(method, what, body) {
    try {
      const headers = body ? { "content-type": "application/json" } : {};
      await open(`/api/v1/runs/${encodeURIComponent(this.open.id)}${what}`, { method, body, headers });
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  #decide(id, approved) {
    return this.#ask("POST", "/approve", JSON.stringify({ id, approved }));
  }

  #failed(error) {
    this.view.say(label(error.message, 300), "bad");
  }
}

export function tone(state) {
  return { running: "live", finished: "ok", ok: "ok", failed: "bad", failing: "bad", lost: "bad", cancelled: "warn" }[state] ?? "unknown";
}
