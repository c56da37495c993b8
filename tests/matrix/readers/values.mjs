/** Tool arguments as a value; what is no JSON stays a text. */
export function parsed(text) {
  try {
    return JSON.parse(text || "{}");
  } catch {
    return text;
  }
}
