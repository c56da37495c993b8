// Server-sent events from the bytes of a response, as the standard reads them, comments included.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

export class SseReader {
  #decoder = new TextDecoder();
  #rest = "";
  #data = [];
  #name = "";
  #id = null;

  /** Frames `{name, data, id}` that `bytes` complete; a comment is `{comment}`. */
  feed(bytes) {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    const found = [];
    for (const line of lines) this.#take(line, found);
    return found;
  }

  #take(line, found) {
    if (line === "") {
      if (this.#data.length) found.push({ name: this.#name || "message", data: this.#data.join("\n"), id: this.#id });
      this.#data = [];
      this.#name = "";
      return;
    }
    if (line.startsWith(":")) {
      found.push({ comment: line.slice(1).trim() });
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }
}
