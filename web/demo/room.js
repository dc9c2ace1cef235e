// One room on the page: its messages, who is there, who types, and what we have read.

import { hear } from "./heard.js";
import { Log, textOf } from "./log.js";

const PAGE = 50;
const NEAR_START_PX = 120;
const TYPING_EVERY_MS = 3_000;
export const FILE_BYTES_MAX = 180_000;

const heard = (body) => [textOf(body), body?.file && `with the file ${body.file.name}`].filter(Boolean).join(", ");

export class RoomView {
  #client;
  #user;
  /** Starts are taken every three seconds, also after a stop. */
  #typedAt = 0;
  #isTyping = false;
  #readUpTo = 0;
  #loading = false;
  more = false;
  unread = 0;
  members = new Map();
  count = 0;
  typists = { users: [], more: 0 };
  problem = null;

  constructor(client, user, name, changed) {
    this.#client = client;
    this.#user = user;
    this.name = name;
    this.changed = changed;
    this.log = new Log(user, { onEnd: () => this.#read() });
    this.log.element.addEventListener("scroll", () => this.log.element.scrollTop < NEAR_START_PX && this.#older());
    this.visible = false;
  }

  async join() {
    try {
      const joined = await this.#client.join(this.name, { history: PAGE, presence: true });
      this.#show(joined.messages);
      this.#members(joined);
      if (joined.messages.length === 0) this.log.empty("Nobody has said anything here yet.");
    } catch (error) {
      this.problem = error.message;
      this.note(`Cannot enter: ${error.message}`);
    }
    this.changed();
  }

  show() {
    if (!this.visible) this.log.toEnd();
    this.visible = true;
    if (this.log.atEnd) this.#read();
  }

  hide() {
    this.visible = false;
  }

  #show(messages) {
    for (const message of messages) this.log.message(message);
    this.more = messages.length > 0 && this.log.first > 1;
    this.#received();
  }

  /** Of the house and of nobody in it. */
  note(text) {
    this.log.note(text);
    if (this.visible) hear(text);
  }

  message(message) {
    this.log.message(message);
    if (this.visible && message.from !== this.#user) hear(`${message.from}: ${heard(message.body)}`);
    this.typists.users = this.typists.users.filter((user) => user !== message.from);
    if (message.from !== this.#user && !(this.visible && document.hasFocus())) this.unread++;
    this.#received();
    if (this.visible && this.log.atEnd) this.#read();
    this.changed();
  }

  gap() {
    this.log.clear();
    this.note("Some messages are too old to be had; these are the latest.");
    this.more = false;
  }

  rejoined({ missed, complete, members, count }) {
    if (members) this.#members({ members, count });
    if (complete) this.note(missed > 0 ? `Back. ${missed} missed ${missed === 1 ? "message" : "messages"} came in order.` : "Back. Nothing was missed.");
    else this.more = this.log.first > 1;
    this.changed();
  }

  presence({ count, joined = [], left = [], changed = [], partial }) {
    this.count = count;
    for (const member of [...joined, ...changed]) this.members.set(member.user, member);
    for (const user of left) this.members.delete(user);
    if (partial) this.#client.members(this.name).then((list) => this.#members(list), () => {});
    this.changed();
  }

  typing(typists) {
    this.typists = typists;
    this.changed();
  }

  typed() {
    if (Date.now() - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = Date.now();
    this.#isTyping = true;
    this.#client.typing(this.name).catch(() => {});
  }

  stoppedTyping() {
    if (this.#isTyping) this.#client.typing(this.name, false).catch(() => {});
    this.#isTyping = false;
  }

  send(body) {
    this.stoppedTyping();
    const id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
    const pending = this.log.pending(id, body);
    this.#client.send(this.name, body, { id }).then(pending.stored, (error) => pending.failed(error.message, () => this.send(body)));
  }

  #members({ members = [], count = members.length }) {
    this.members = new Map(members.map((member) => [member.user, member]));
    this.count = count;
    this.changed();
  }

  async #older() {
    if (this.#loading || !this.more) return;
    this.#loading = true;
    try {
      const page = await this.#client.history(this.name, { before: this.log.first, limit: PAGE });
      this.log.older(page.messages);
      this.more = page.more;
    } catch {
      // The next scroll tries again.
    } finally {
      this.#loading = false;
    }
  }

  #received() {
    if (this.log.last > 0) this.#client.received(this.name, this.log.last).catch(() => {});
  }

  #read() {
    if (!this.visible || document.hidden || this.log.last <= this.#readUpTo) return;
    this.#readUpTo = this.log.last;
    this.unread = 0;
    this.#client.read(this.name, this.log.last).catch(() => {});
    this.changed();
  }
}
