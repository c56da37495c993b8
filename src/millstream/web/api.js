// Calls to the gateway that served this page, with the key that its user typed in.

const STORED = "millstream.key";
/** Where the gateway is, also below the path of another application. */
export const base = new URL("../", import.meta.url);

export function key() {
  try {
    return sessionStorage.getItem(STORED) ?? "";
  } catch {
    return "";
  }
}

export function keepKey(value) {
  if (value) sessionStorage.setItem(STORED, value);
  else sessionStorage.removeItem(STORED);
}

export function address(path) {
  return new URL(path.replace(/^\//, ""), base);
}

export function headers(more = {}) {
  const known = key();
  return known ? { ...more, authorization: `Bearer ${known}` } : more;
}

/** What the gateway refused, in its words. */
export class Refused extends Error {
  constructor(status, said, retryAfter = null) {
    super(said);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The words of an error in whichever dialect it was given. */
export function wordsOf(text, status) {
  try {
    const said = JSON.parse(text);
    const inner = Array.isArray(said) ? said[0]?.error : said.error;
    return inner?.message ?? said.message ?? said.detail ?? (typeof inner === "string" ? inner : `status ${status}`);
  } catch {
    return text.slice(0, 300) || `status ${status}`;
  }
}

export async function open(path, { method = "GET", body, headers: more = {}, signal } = {}) {
  const response = await fetch(address(path), { method, body, headers: headers(more), signal, cache: "no-store" });
  if (!response.ok) {
    const wait = Number(response.headers.get("retry-after")) || null;
    throw new Refused(response.status, wordsOf(await response.text(), response.status), wait);
  }
  return response;
}

export async function json(path, options) {
  return (await open(path, options)).json();
}

/** A WebSocket cannot send the header that keys travel in; it names the key among its subprotocols. */
export function socket(path) {
  const url = address(path);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const known = key();
  return known ? new WebSocket(url, ["millstream", `millstream.bearer.${base64url(known)}`]) : new WebSocket(url);
}

function base64url(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
