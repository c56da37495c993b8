// A growing text of any size and shape: appended, never drawn anew, in blocks that the browser lays out one by one.

import { clean } from "./clean.js";
import { make } from "./dom.js";

const BLOCK = 2000;
const LONGEST_LINE = 8000;
const MOST = 400_000;

export class Prose {
  constructor(element) {
    this.element = element;
    this.reset();
  }

  reset() {
    this.raw = [];
    this.size = 0;
    this.block = null;
    this.inBlock = 0;
    this.element.replaceChildren();
  }

  get text() {
    return this.raw.join("");
  }

  add(text) {
    this.raw.push(text);
    const before = this.size;
    this.size += text.length;
    if (before >= MOST) return;
    this.#show(clean(text.slice(0, MOST - before)));
    if (this.size >= MOST) {
      this.element.append(make("p", { class: "hint" }, "The answer is longer than this page shows; copying gives all of it."));
    }
  }

  #show(text) {
    let rest = text;
    while (rest) {
      if (this.block === null) {
        this.block = make("div", { class: "block", dir: "auto" });
        this.inBlock = 0;
        this.element.append(this.block);
      }
      const line = this.inBlock >= BLOCK ? rest.indexOf("\n") : -1;
      const room = Math.max(1, LONGEST_LINE - this.inBlock);
      const whole = line >= 0 && line < room;
      const piece = whole ? rest.slice(0, line) : rest.slice(0, room);
      this.block.append(piece);
      this.inBlock += piece.length;
      rest = rest.slice(piece.length + (whole ? 1 : 0));
      if (whole || this.inBlock >= LONGEST_LINE) this.block = null;
    }
  }
}
