// The page's frame: its parts, its theme, the key, and whether the gateway can be reached.

import { Refused, json, key, keepKey } from "./api.js";
import { announce, byId, count } from "./dom.js";
import { Gateway } from "./gateway.js";
import { Playground } from "./playground.js";
import { Runs } from "./runs.js";
import { tabs } from "./tabs.js";

const LOOK_EVERY_MS = 2000;
const LOOK_LONGEST_MS = 15_000;
const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };

const parts = { playground: new Playground(), runs: new Runs(), gateway: new Gateway() };
let shown = "playground";
let asked = false;
let reached = null;
let failures = 0;

const choose = tabs(document.querySelector("header [role=tablist]"), (tab) => {
  shown = tab.getAttribute("aria-controls");
  for (const id of Object.keys(parts)) byId(id).hidden = id !== shown;
  history.replaceState(null, "", `#${shown}`);
  parts[shown].show();
});

function showPart() {
  const wanted = location.hash.slice(1);
  if (wanted in parts) choose(byId(`tab-${wanted}`), false);
}

function theme(name) {
  const root = document.documentElement;
  if (name === "auto") delete root.dataset.theme;
  else root.dataset.theme = name;
  byId("theme-button").textContent = THEMES[name];
  byId("theme-button").setAttribute("aria-label", `Theme: ${THEMES[name]}`);
  localStorage.setItem("millstream.theme", name);
}

byId("theme-button").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % names.length]);
});

function askForKey() {
  byId("key").value = key();
  byId("key-dialog").returnValue = "cancel";
  byId("key-dialog").showModal();
  byId("key").select();
}

byId("key-button").addEventListener("click", askForKey);
byId("key-dialog").addEventListener("close", () => {
  const said = byId("key-dialog").returnValue;
  if (said === "use") keepKey(byId("key").value.trim());
  if (said === "forget") keepKey("");
  byId("key").value = "";
  if (said !== "cancel") refresh();
});

function banner(words) {
  byId("banner").textContent = words;
  byId("banner").hidden = !words;
}

function status(words, state) {
  const pill = byId("gateway-status");
  pill.textContent = words;
  pill.dataset.state = state;
}

function failed(error) {
  const refused = error instanceof Refused;
  failures += 1;
  if (refused && error.status === 401) {
    status("key needed", "locked");
    banner(key() ? `The gateway does not take this key: ${error.message}` : "");
    if (!asked && !key()) askForKey();
    asked = true;
    return;
  }
  status(refused ? `error ${error.status}` : "not reached", "bad");
  banner(refused ? error.message : "The gateway cannot be reached. This page tries again by itself.");
  if (reached !== false && !refused) announce("The gateway cannot be reached");
  reached = false;
}

/** Asks for the gateway's state; what the page needs once is asked for when it can be reached again. */
async function look() {
  try {
    const state = await json("/api/v1/state");
    failures = 0;
    status(`${count(state.open_streams)} open`, "ok");
    banner("");
    byId("version").textContent = `millstream ${state.version}`;
    if (reached !== true) {
      if (reached === false) announce("The gateway can be reached again");
      reached = true;
      parts.playground.online();
      await parts.playground.load(state);
      parts[shown].show();
    }
    parts.gateway.take(state);
    parts.runs.tick();
  } catch (error) {
    failed(error);
  }
}

let timer = 0;
async function refresh() {
  clearTimeout(timer);
  reached = reached === true ? null : reached;
  await turn();
}

async function turn() {
  clearTimeout(timer);
  if (!document.hidden) await look();
  clearTimeout(timer);
  timer = setTimeout(turn, Math.min(LOOK_LONGEST_MS, LOOK_EVERY_MS * 2 ** Math.min(failures, 3)));
}

document.addEventListener("visibilitychange", () => document.hidden || turn());
addEventListener("online", () => {
  parts.playground.online();
  turn();
});
addEventListener("offline", () => turn());
addEventListener("hashchange", showPart);

theme(localStorage.getItem("millstream.theme") in THEMES ? localStorage.getItem("millstream.theme") : "auto");
showPart();
turn();
