// Elements, made without HTML text: whatever is put into them stays text.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

/** Says `text` to users of screen readers, and to nobody else. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Calls `draw` before the next frame, however often it is asked to until then. */
export function eachFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

export function milliseconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "\u2013";
  if (value < 1000) return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(value / 60_000)} min ${Math.round((value % 60_000) / 1000)} s`;
}

export function count(value) {
  return value === null || value === undefined ? "\u2013" : Number(value).toLocaleString("en").replaceAll(",", "\u202f");
}

/** The part of `values` that can be drawn: an axis up to a round number. */
export function roundUp(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].map((n) => n * step).find((n) => n >= value * 0.999) ?? value;
}
