// The messages of one room on the page: in their order, each once, with what became of our own.

import { day, hide, hue, make, size, staying, time } from "./dom.js";

const NEAR_END_PX = 60;
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/** What somebody said, without what came with it. */
export function textOf(body) {
  if (typeof body === "string") return body;
  return body?.text ?? (body?.file ? "" : JSON.stringify(body));
}

let rows = 0;

export class Log {
  #user;
  #rows = new Map(); // message id -> { element, ticks, seq, own }
  #marks = new Map(); // user -> { received, read }
  #pictures = [];
  #empty = null;
  #follows = true;
  first = Infinity;
  last = 0;

  constructor(user, { onEnd }) {
    this.#user = user;
    this.element = make("ol", "log", "", { tabIndex: 0, ariaLabel: "Messages" });
    this.newer = make("button", "newer", "New messages ↓", { type: "button", hidden: true });
    this.newer.addEventListener("click", () => this.toEnd());
    // Whoever reads the latest goes on reading it when a banner, a picture or a keyboard takes room away.
    new ResizeObserver(() => this.#follow()).observe(this.element);
    this.element.addEventListener("scroll", () => {
      this.#follows = this.atEnd;
      if (!this.#follows) return;
      this.#caughtUp();
      onEnd();
    });
    this.element.addEventListener("keydown", (event) => this.#move(event));
  }

  get atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  toEnd() {
    this.element.scrollTop = this.element.scrollHeight;
    this.#caughtUp();
  }

  #follow() {
    if (this.#follows) this.toEnd();
  }

  #caughtUp() {
    hide(this.newer, this.element.lastElementChild ?? this.element);
  }

  // From message to message; what can be pressed in one comes after it by Tab.
  #move(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const all = [...this.element.children];
    const last = all.length - 1;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const to = { ArrowUp: at < 0 ? last : at - 1, ArrowDown: at < 0 ? last : at + 1, Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    all[Math.min(last, Math.max(0, to))].focus();
  }

  /** A stored message, live or of the past. Where it belongs is said by its number. */
  message(message) {
    const known = this.#rows.get(message.id);
    if (known) return void this.#stored(known, message);
    const follow = message.from === this.#user || this.atEnd;
    const row = this.#row(message);
    this.#rows.set(message.id, row);
    this.#place(row);
    this.#stored(row, message);
    if (follow) this.toEnd();
    else if (row.seq === this.last) this.newer.hidden = false;
  }

  /** Earlier ones, without moving what is looked at. */
  older(messages) {
    const before = this.element.scrollHeight - this.element.scrollTop;
    for (const message of messages) {
      if (this.#rows.has(message.id)) continue;
      const row = this.#row(message);
      this.#rows.set(message.id, row);
      this.#place(row);
      this.#stored(row, message);
    }
    this.element.scrollTop = this.element.scrollHeight - before;
  }

  /** Ours, on its way. */
  pending(id, body) {
    const row = this.#row({ id, from: this.#user, body, ts: Date.now(), seq: Infinity });
    row.element.classList.add("pending");
    row.ticks.textContent = "sending…";
    this.#rows.set(id, row);
    this.element.append(row.element);
    this.#group(row.element);
    this.toEnd();
    return {
      stored: (sent) => this.#stored(row, { ...sent, from: this.#user }),
      failed: (why, again) => {
        row.element.classList.replace("pending", "failed");
        row.ticks.textContent = `not sent: ${why} `;
        const retry = make("button", "link", "try again", { type: "button" });
        retry.addEventListener("click", () => {
          row.element.remove();
          this.#rows.delete(id);
          again();
          this.element.lastElementChild.focus();
        });
        row.ticks.append(retry);
      },
    };
  }

  note(text) {
    const follow = this.atEnd;
    const element = make("li", "note", text, { tabIndex: -1, ariaLabel: text });
    this.element.append(element);
    if (follow) this.toEnd();
    return element;
  }

  /** Until there is something. */
  empty(text) {
    this.#empty = this.note(text);
  }

  /** Everything again: there is a hole in what we have. */
  clear() {
    const wasHere = this.element.contains(document.activeElement);
    this.element.replaceChildren();
    if (wasHere) this.element.focus();
    for (const url of this.#pictures.splice(0)) URL.revokeObjectURL(url);
    this.#rows.clear();
    this.first = Infinity;
    this.last = 0;
  }

  /** How far the others are: one tick is stored, two are received, two in colour are read. */
  marks(marks) {
    for (const { user, received = 0, read = 0 } of marks) {
      const known = this.#marks.get(user) ?? { received: 0, read: 0 };
      this.#marks.set(user, { received: Math.max(known.received, received, read), read: Math.max(known.read, read) });
    }
    for (const row of this.#rows.values()) if (row.own) this.#tick(row);
  }

  #stored(row, { seq, ts }) {
    row.seq = seq;
    row.element.dataset.seq = seq;
    row.element.classList.remove("pending", "failed");
    row.clock.textContent = time(ts);
    row.clock.dateTime = new Date(ts).toISOString();
    row.element.dataset.ts = ts;
    this.first = Math.min(this.first, seq);
    this.last = Math.max(this.last, seq);
    this.#place(row);
    if (row.own) this.#tick(row);
    else row.ticks.textContent = "";
  }

  #tick(row) {
    if (row.seq === Infinity) return;
    const others = [...this.#marks].filter(([user]) => user !== this.#user).map(([, marks]) => marks);
    const readers = others.filter(({ read }) => read >= row.seq).length;
    const isReceived = others.some(({ received }) => received >= row.seq);
    const [ticks, words] = readers > 0 ? ["✓✓", `read by ${readers}`] : isReceived ? ["✓✓", "delivered"] : ["✓", "stored"];
    row.ticks.textContent = ticks;
    row.ticks.title = words;
    row.ticks.ariaLabel = words;
    row.ticks.classList.toggle("read", readers > 0);
  }

  #row({ from, body }) {
    this.#empty?.remove();
    const own = from === this.#user;
    const element = make("li", own ? "own" : "", "", { tabIndex: -1 });
    const clock = make("time");
    const ticks = own ? make("span", "ticks", "", { role: "img", ariaLabel: "sending" }) : make("span", "ticks");
    element.dataset.from = from;
    const bubble = make("div", "bubble");
    const text = textOf(body);
    if (body?.file?.bytes instanceof Uint8Array) bubble.append(this.#file(body.file));
    if (text) bubble.append(make("span", "text", text));
    const parts = [make("div", `from ${hue(from)}`, from), bubble, make("div", "meta", [clock, " ", ticks])];
    // What is heard of it where somebody moves through the messages: who, what, when, and how far it came.
    rows++;
    parts.forEach((part, index) => (part.id = `said-${rows}-${index}`));
    element.setAttribute("aria-labelledby", parts.map(({ id }) => id).join(" "));
    element.append(...parts);
    return { element, clock, ticks, own, seq: Infinity };
  }

  #file({ name = "file", type = "", bytes }) {
    // Whatever others call it, only pictures are shown, and nothing is opened in a page.
    const isPicture = PICTURES.includes(type);
    const url = URL.createObjectURL(new Blob([bytes], { type: isPicture ? type : "application/octet-stream" }));
    this.#pictures.push(url);
    const link = make("a", "file", "", { href: url, download: String(name).slice(0, 200), ariaLabel: `Save ${name}, ${size(bytes.length)}` });
    if (isPicture) link.append(make("img", "", "", { src: url, alt: String(name), onload: () => this.#follow() }));
    else link.append(make("span", "file-name", String(name)), make("span", "file-size", size(bytes.length)));
    return link;
  }

  // Behind the message before it. The newest comes behind what was noted since as well, and before what is on its way.
  #place(row) {
    const { element } = row;
    let before = null;
    let note = null;
    let isNewest = true;
    for (let other = this.element.lastElementChild; other; other = other.previousElementSibling) {
      if (other === element || other.classList.contains("pending") || other.classList.contains("failed")) continue;
      const seq = other.dataset.seq ? Number(other.dataset.seq) : null;
      if (seq === null) {
        note ??= other;
      } else if (seq < row.seq) {
        before = other;
        break;
      } else {
        isNewest = false;
        note = null;
      }
    }
    if (isNewest) before = note ?? before;
    const next = element.nextElementSibling;
    if (before) {
      if (before.nextElementSibling !== element) staying(element, () => before.after(element));
    } else if (this.element.firstElementChild !== element) staying(element, () => this.element.prepend(element));
    for (const touched of [element, element.nextElementSibling, next]) if (touched) this.#group(touched);
  }

  // Messages of one person that follow one another are one block; a new day is said.
  #group(element) {
    if (!element.dataset.from) return;
    const before = element.previousElementSibling;
    const apart = Number(element.dataset.ts) - Number(before?.dataset.ts ?? 0) > 5 * 60_000;
    element.classList.toggle("first", before?.dataset.from !== element.dataset.from || apart);
    const isNewDay = before?.dataset.ts && element.dataset.ts && day(Number(before.dataset.ts)) !== day(Number(element.dataset.ts));
    if (isNewDay) element.dataset.day = day(Number(element.dataset.ts));
    else delete element.dataset.day;
    if (before?.dataset.from) before.classList.toggle("last", before.dataset.from !== element.dataset.from);
    const next = element.nextElementSibling;
    element.classList.toggle("last", !next?.dataset.from || next.dataset.from !== element.dataset.from);
  }
}
