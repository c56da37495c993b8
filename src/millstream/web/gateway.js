// The state of the gateway, as small charts over its figures.

import { label } from "./clean.js";
import { byId, count, make, milliseconds, roundUp, svg } from "./dom.js";
import { tone } from "./runs.js";

const KEPT = 150;
const WIDE = 600;
const HIGH = 120;
const FOCUSABLE = "[tabindex], summary";
const ENDS = ["finished", "cancelled", "failed"];

export class Gateway {
  constructor() {
    this.open = [];
    this.state = null;
  }

  show() {
    if (this.state) this.#draw();
  }

  take(state) {
    this.state = state;
    this.open.push(state.open_streams);
    if (this.open.length > KEPT) this.open.shift();
    if (!byId("gateway").hidden) this.#draw();
  }

  #draw() {
    const view = byId("gateway-view");
    const focused = view.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && [...view.querySelectorAll(FOCUSABLE)].indexOf(focused);
    const opened = view.querySelector("details")?.open;
    this.#fill(view, this.state);
    if (opened) view.querySelector("details")?.setAttribute("open", "");
    if (focused) view.querySelectorAll(FOCUSABLE)[place]?.focus({ preventScroll: true });
  }

  #fill(view, state) {
    view.replaceChildren(
      this.#tiles(state),
      make("div", { class: "charts" }, this.#requests(state), this.#streams(), this.#tokens(state)),
      make("div", { class: "charts wide" }, this.#models(state), this.#providers(state)),
      make("div", { class: "charts" }, listed("Errors by kind", state.errors, "No request has failed."), listed("Requests by client dialect", state.clients, "No request yet.")),
      make("p", { class: "hint" }, worker(state)),
    );
  }

  #tiles({ requests, open_streams: streams, uptime_s: up, models }) {
    const tokens = models.reduce((sum, model) => sum + model.output_tokens, 0);
    const figures = [
      ["Open streams", count(streams)], ["Finished", count(requests.finished)], ["Failed", count(requests.failed)],
      ["Cancelled", count(requests.cancelled)], ["Tokens written", count(tokens)], ["Up", milliseconds(up * 1000)],
    ];
    return make("dl", { class: "figures panel" }, ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }

  #requests({ recent }) {
    const { buckets, bucket_s: seconds } = recent;
    const most = roundUp(Math.max(1, ...buckets.map((one) => ENDS.reduce((sum, end) => sum + one[end], 0))));
    const step = WIDE / buckets.length;
    const bars = buckets.flatMap((one, n) => {
      let below = HIGH;
      return ENDS.filter((end) => one[end]).map((end) => {
        const height = (one[end] / most) * HIGH;
        below -= height;
        return svg("rect", { class: end, x: n * step + 0.5, y: below, width: step - 1, height });
      });
    });
    const total = (end) => buckets.reduce((sum, one) => sum + one[end], 0);
    const said = ENDS.map((end) => `${total(end)} ${end}`).join(", ");
    return chart(`Requests, each ${seconds} s`, bars, most, `Requests of the last ${(buckets.length * seconds) / 60} minutes: ${said}`, since(buckets.length * seconds), legend());
  }

  #streams() {
    const most = roundUp(Math.max(1, ...this.open));
    const step = WIDE / (KEPT - 1);
    const from = KEPT - this.open.length;
    const points = this.open.map((n, at) => `${((from + at) * step).toFixed(1)} ${(HIGH - (n / most) * HIGH).toFixed(1)}`);
    const first = (from * step).toFixed(1);
    const shapes = [
      svg("path", { class: "area", d: `M${first} ${HIGH}L${points.join("L")}L${WIDE} ${HIGH}z` }),
      svg("path", { class: "line", d: `M${points.join("L")}` }),
    ];
    return chart("Open streams", shapes, most, `Open streams while this page looked: now ${this.open.at(-1)}, at most ${Math.max(...this.open)}`, since(KEPT * 2));
  }

  #tokens({ recent }) {
    const rates = recent.buckets.map((one) => one.output_tokens / recent.bucket_s);
    const most = roundUp(Math.max(1, ...rates));
    const step = WIDE / rates.length;
    const bars = rates.map((rate, n) => (rate ? svg("rect", { class: "tokens", x: n * step + 0.5, y: HIGH - (rate / most) * HIGH, width: step - 1, height: (rate / most) * HIGH }) : null));
    return chart("Tokens/s of finished requests", bars, most, `Tokens per second, at most ${Math.round(Math.max(...rates))}`, since(rates.length * recent.bucket_s));
  }

  #models({ models }) {
    const known = models.filter((model) => model.first_content_ms);
    const most = roundUp(Math.max(1, ...known.map((model) => model.first_content_ms.p99)));
    const rows = models.map((model) =>
      make(
        "tr", {},
        make("th", { scope: "row" }, label(model.model, 60)),
        make("td", { class: "number" }, count(ENDS.reduce((sum, end) => sum + model.requests[end], 0))),
        make("td", { class: "number" }, count(model.requests.failed)),
        ...["p50", "p95", "p99"].map((share) => make("td", { class: "number" }, milliseconds(model.first_content_ms?.[share]))),
        make("td", { class: "plot" }, model.first_content_ms ? range(model.first_content_ms, most) : ""),
        make("td", { class: "number" }, count(model.output_tokens)),
      ),
    );
    const head = ["Model", "Requests", "Failed", "p50", "p95", "p99", `0 to ${milliseconds(most)}`, "Tokens"];
    return table("First token by model", head, rows, "No model has been asked yet.", new Set(["Model", head[6]]));
  }

  #providers({ providers }) {
    const asked = (one) => (one.requests.finished + one.requests.failed + one.requests.cancelled ? 0 : 1);
    const used = providers.filter((one) => one.state !== "unusable").sort((a, b) => asked(a) - asked(b));
    const rows = used.map((one) =>
      make(
        "tr", {},
        make("th", { scope: "row" }, label(one.name, 40)),
        make("td", {}, make("span", { class: "pill", "data-state": tone(one.state) }, one.state)),
        make("td", { class: "number" }, count(one.requests.finished)),
        make("td", { class: "number" }, count(one.requests.failed)),
        make("td", {}, one.last_error ? `${one.last_error} (${one.last_error_status}), ${ago(one.last_failure, this.state.now)}` : "\u2013"),
      ),
    );
    const part = table("Providers", ["Provider", "State", "Finished", "Failed", "Last failure"], rows, "No provider is set up.", new Set(["Provider", "State", "Last failure"]));
    const idle = providers.filter((one) => one.state === "unusable");
    if (idle.length) {
      const names = idle.map((one) => `${one.name} (${one.lacks})`).join(", ");
      part.append(make("details", {}, make("summary", {}, `${idle.length} not set up`), make("p", { class: "hint" }, names)));
    }
    return part;
  }
}

function worker({ worker: number, processes }) {
  const whose = number === null ? "Figures since the gateway began" : `Figures of all ${processes} processes since the gateway began`;
  return `${whose}; first-token times of each model's last 500 requests${number === null ? "" : " in each"}.`;
}

function chart(name, shapes, most, said, span, more = null) {
  const image = svg("svg", { viewBox: `0 -4 ${WIDE} ${HIGH + 6}`, class: "chart", role: "img", "aria-label": said, preserveAspectRatio: "none" });
  image.append(
    ...[0, 0.5, 1].map((part) => svg("line", { class: "grid", x1: 0, x2: WIDE, y1: HIGH * part, y2: HIGH * part })),
    ...shapes.filter(Boolean),
  );
  return make("section", { class: "panel" }, make("div", { class: "head" }, make("h2", {}, name), make("span", { class: "most" }, `most ${count(most)}`)), image, make("p", { class: "ends", "aria-hidden": "true" }, make("span", {}, span), make("span", {}, "now")), more);
}

function since(seconds) {
  return `${Math.round(seconds / 60)} min ago`;
}

function legend() {
  return make("p", { class: "legend", "aria-hidden": "true" }, ...ENDS.map((end) => make("span", { class: end }, end)));
}

function range({ p50, p95, p99 }, most) {
  const x = (value) => 6 + (value / most) * 108;
  return svg(
    "svg", { viewBox: "0 0 120 16", class: "range", "aria-hidden": "true" },
    svg("line", { class: "whisker", x1: x(p50), x2: x(p99), y1: 8, y2: 8 }),
    svg("rect", { class: "box", x: x(p50), y: 3, width: Math.max(1, x(p95) - x(p50)), height: 10, rx: 2 }),
    svg("circle", { class: "median", cx: x(p50), cy: 8, r: 4 }),
  );
}

function table(name, head, rows, empty, left) {
  const section = make("section", { class: "panel" }, make("h2", {}, name));
  if (!rows.length) {
    section.append(make("p", { class: "hint" }, empty));
    return section;
  }
  const cells = head.map((one) => make("th", { scope: "col", class: left.has(one) ? null : "number" }, one));
  const body = make("table", {}, make("thead", {}, make("tr", {}, ...cells)), make("tbody", {}, ...rows));
  section.append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, body));
  return section;
}

function listed(name, counts, empty) {
  const rows = Object.entries(counts);
  const most = Math.max(1, ...rows.map(([, n]) => n));
  const line = ([what, n]) =>
    make(
      "li", {}, make("span", {}, label(what, 40)),
      svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { class: "tokens", width: (n / most) * 100, height: 8, rx: 1 })),
      make("span", { class: "number" }, count(n)),
    );
  const body = rows.length ? make("ul", { class: "counts" }, ...rows.map(line)) : make("p", { class: "hint" }, empty);
  return make("section", { class: "panel" }, make("h2", {}, name), body);
}

function ago(then, now) {
  return `${milliseconds(Math.max(0, new Date(now) - new Date(then)))} ago`;
}
