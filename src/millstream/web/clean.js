// What models, tools and providers say is foreign: it is shown as text, and what could disguise it is made visible.

const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;
const BIDI = /[\u202a-\u202e\u2066-\u2069]/g;

function shownControl(sign) {
  const code = sign.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : "\ufffd";
}

function shownBidi(sign) {
  return `\u2039U+${sign.charCodeAt(0).toString(16).toUpperCase()}\u203a`;
}

/** Text without signs that act: terminal escapes and overrides of the writing direction become pictures of themselves. */
export function clean(text) {
  return String(text).replaceAll("\r\n", "\n").replace(/\r/g, "\n").replace(CONTROLS, shownControl).replace(BIDI, shownBidi);
}

/** `clean`, on one line and no longer than `most`. */
export function label(text, most = 120) {
  const line = clean(text).replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}\u2026` : line;
}
