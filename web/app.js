// The demo chat: one name, one room, and what a lost connection looks like when nothing is lost.

import { connect } from "./turnpike.js";

const INTERRUPTED_MS = 5_000;
const HISTORY = 50;
const HUES = 8;

const by = (id) => document.getElementById(id);
const ui = {
  enter: by("enter"), enterForm: by("enter-form"), name: by("name"), room: by("room"), problem: by("enter-problem"),
  chat: by("chat"), title: by("chat-room"), status: by("status"), statusText: by("status-text"),
  interrupt: by("interrupt"), leave: by("leave"), log: by("log"), newer: by("newer"), say: by("say"), text: by("text"),
};

ui.name.value = sessionStorage.getItem("name") ?? "";
ui.room.value = decodeURIComponent(location.hash.slice(1)) || ui.room.value;
(ui.name.value ? ui.room : ui.name).focus();

ui.enterForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  ui.problem.hidden = true;
  const [user, room] = [ui.name.value.trim(), ui.room.value.trim()];
  try {
    await fetchToken(user);
    sessionStorage.setItem("name", user);
    history.replaceState(null, "", `#${encodeURIComponent(room)}`);
    chat(user, room);
  } catch (error) {
    ui.problem.textContent = error.message;
    ui.problem.hidden = false;
  }
});

async function fetchToken(user) {
  const response = await fetch("/dev/token", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error?.message ?? "no token to be had");
  return answer.token;
}

function chat(user, room) {
  const client = connect({ token: () => fetchToken(user) });
  const log = new Log(user);
  const leaving = new AbortController();
  const listen = (target, name, handler) => target.addEventListener(name, handler, { signal: leaving.signal });

  ui.title.textContent = room;
  ui.enter.hidden = true;
  ui.chat.hidden = false;
  ui.text.focus();

  const WORDS = { connecting: "connecting…", online: `as ${user}`, offline: "offline, trying again…", refused: "refused: sign in again", closed: "left" };
  client.on("status", (status) => {
    ui.status.className = `status ${status}`;
    ui.statusText.textContent = WORDS[status];
    ui.interrupt.disabled = status !== "online";
  });
  client.on("message", (message) => log.message(message));
  client.on("rejoined", ({ missed, complete }) => {
    if (!complete) log.note("Back. Some messages are too old to be had; these are the latest.");
    else if (missed > 0) log.note(`Back. ${missed} missed ${missed === 1 ? "message" : "messages"} came in order.`);
    else log.note("Back. Nothing was missed.");
  });
  client.on("resync", () => log.note("Some messages are too old to be had."));
  client.on("error", (error) => log.note(error.message));

  (async () => {
    try {
      const { messages } = await client.join(room, { history: HISTORY });
      for (const message of messages) log.message(message);
      if (messages.length === 0) log.note("Nobody has said anything here yet.");
    } catch (error) {
      log.note(`Cannot enter ${room}: ${error.message}`);
    }
  })();

  listen(ui.say, "submit", async (event) => {
    event.preventDefault();
    const text = ui.text.value.trim();
    if (!text) return;
    ui.text.value = "";
    const pending = log.pending(text);
    try {
      pending.stored(await client.send(room, { text }));
    } catch (error) {
      pending.failed(error.message);
    }
  });
  listen(ui.interrupt, "click", () => {
    log.note("Connection cut. What is said meanwhile comes afterwards.");
    client.interrupt(INTERRUPTED_MS);
    ui.text.focus();
  });
  listen(ui.leave, "click", () => {
    leaving.abort();
    client.close();
    ui.log.replaceChildren();
    ui.chat.hidden = true;
    ui.enter.hidden = false;
    ui.room.focus();
  });
  listen(ui.log, "scroll", () => log.scrolled());
  listen(ui.newer, "click", () => log.toEnd());
}

/** The messages on the page. A message is shown once, whether its echo or its acknowledgement comes first. */
class Log {
  #user;
  #shown = new Map(); // message id -> element
  #pending = [];
  #last = null;

  constructor(user) {
    this.#user = user;
  }

  message({ id, from, body, ts, seq }) {
    const text = typeof body === "string" ? body : (body?.text ?? JSON.stringify(body));
    if (this.#shown.has(id)) return;
    // Our own, back from the room: it takes the place of what was shown when it was sent.
    const waiting = from === this.#user ? this.#pending.findIndex((pending) => pending.text === text) : -1;
    if (waiting >= 0) this.#pending.splice(waiting, 1)[0].element.remove();
    const element = this.#append(from, text, time(ts), from === this.#user);
    element.querySelector(".meta").title = `number ${seq} of this room`;
    this.#shown.set(id, element);
  }

  pending(text) {
    const element = this.#append(this.#user, text, "sending…", true, true);
    element.classList.add("pending");
    const entry = { text, element };
    this.#pending.push(entry);
    return {
      stored: ({ id, ts, seq }) => {
        const at = this.#pending.indexOf(entry);
        if (at < 0) return;
        this.#pending.splice(at, 1);
        element.remove();
        this.message({ id, ts, seq, from: this.#user, body: text });
      },
      failed: (why) => {
        this.#pending = this.#pending.filter((other) => other !== entry);
        element.classList.replace("pending", "failed");
        element.querySelector(".meta").textContent = `not sent: ${why}`;
      },
    };
  }

  note(text) {
    const element = make("li", "note", text);
    this.#add(element);
    this.#last = null;
  }

  scrolled() {
    if (this.#atEnd()) ui.newer.hidden = true;
  }

  toEnd() {
    ui.log.scrollTop = ui.log.scrollHeight;
    ui.newer.hidden = true;
  }

  #append(from, text, meta, own, isPending = false) {
    const element = make("li", own ? "own last" : "last");
    const first = this.#last?.from !== from || !this.#last.element.isConnected;
    if (first) {
      element.classList.add("first");
      element.append(make("div", `from hue-${hue(from)}`, from));
    } else {
      this.#last.element.classList.remove("last");
    }
    element.append(make("div", "bubble", text), make("div", "meta", meta));
    this.#add(element, own);
    if (!isPending) this.#last = { from, element };
    return element;
  }

  // What is still on its way stays at the end.
  #add(element, own = false) {
    const follow = own || this.#atEnd();
    const before = element.classList.contains("note") ? null : this.#pending[0]?.element;
    ui.log.insertBefore(element, before?.isConnected ? before : null);
    if (follow) this.toEnd();
    else ui.newer.hidden = false;
  }

  #atEnd() {
    return ui.log.scrollHeight - ui.log.scrollTop - ui.log.clientHeight < 60;
  }
}

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function hue(name) {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return hash % HUES;
}

function time(ts) {
  return new Date(ts).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
