// A user, connection, room or stream on whichever node, and what happened to it last.

import { by, make } from "../demo/dom.js";
import { bytes, clock, count, moment, some, until, words } from "./words.js";

const HINTS = { users: "alice", connections: "x7JqWm3n0aPzQk5TtB2c", rooms: "chat:lobby", streams: "live:alice" };
const STEPS = { ban: "banned", mute: "muted" };
const KINDS = { socketio: "Socket.IO", raw: "plain websocket" };
const ROOMS_SHOWN = 12;
const DEED_MS = 1_000;

export class Find {
  #api;
  #security;
  #signal;
  #asked = 0;
  #last = null;

  constructor(api, security, { signal }) {
    this.#api = api;
    this.#security = security;
    this.#signal = signal;
    // What was done is seen: at once, or when those who are cut off have left. Unless somebody looks for something else by then.
    security.onDeed = () => {
      const asked = this.#asked;
      setTimeout(() => !signal.aborted && this.#last && asked === this.#asked && this.#look(...this.#last), DEED_MS);
    };
    by("find-kind").addEventListener("change", () => (by("find-id").placeholder = HINTS[by("find-kind").value]), { signal });
    by("find-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#look(by("find-kind").value, by("find-id").value.trim());
    }, { signal });
  }

  /** From a link elsewhere on the page. */
  go(kind, id) {
    by("find-kind").value = kind;
    by("find-id").value = id;
    by("find").scrollIntoView();
    this.#look(kind, id);
  }

  async #look(kind, id) {
    const asked = ++this.#asked;
    const isAgain = String(this.#last) === String([kind, id]);
    const problem = by("find-problem");
    problem.hidden = true;
    by("find-note").textContent = "";
    const wasThere = by("found").contains(document.activeElement);
    if (!isAgain) {
      this.#last = null;
      by("found").replaceChildren(make("p", "quiet", "Asking all nodes…"));
    }
    try {
      const answer = await this.#api.ask("GET", `inspect/${kind}/${encodeURIComponent(id)}`);
      if (asked !== this.#asked || this.#signal.aborted) return;
      const shown = { users: (it) => this.#user(it), connections: (it) => this.#connections(it), rooms: (it) => this.#room(it), streams: (it) => this.#stream(it) }[kind](answer);
      if (answer.unanswered?.length > 0) shown.push(make("p", "problem", `These nodes did not answer: ${answer.unanswered.join(", ")}.`));
      this.#last = [kind, id];
      const at = document.activeElement;
      const isLost = isAgain ? by("found").contains(at) : wasThere && at === document.body;
      by("found").replaceChildren(...shown);
      // Whoever was at a button of it is at the same one; whoever followed a link, at what it led to.
      const same = (button) => isAgain && at.ariaLabel !== null && button.ariaLabel === at.ariaLabel;
      if (isLost) ([...by("found").querySelectorAll("button")].find(same) ?? by("found").querySelector("h3") ?? by("find-id")).focus({ preventScroll: true });
      by("find-note").textContent = `${id} was found${answer.connections ? `, with ${some(answer.connections.length, "connection")}` : ""}.`;
    } catch (error) {
      if (asked !== this.#asked || this.#signal.aborted) return;
      this.#last = null;
      by("found").replaceChildren();
      problem.textContent = error.message;
      problem.hidden = false;
      if (wasThere) by("find-id").focus();
    }
  }

  #user(it) {
    const head = this.#head("User", it.user, [
      ["Disconnect…", () => this.#security.disconnect(it.user)],
      ["Revoke tokens…", () => this.#security.revoke({ kind: "user", what: it.user })],
      ["Ban…", () => this.#security.ban({ whom: it.user })],
    ]);
    const standing = it.standing.map(({ step, until_ms, by: who, reason }) => make("p", "notice", [STEPS[step] ?? words(step), reason && words(reason), `by ${who}`, `${until(until_ms)} left`].filter(Boolean).join(" · ")));
    const much = (limit, value) => (limit.endsWith("bytes") ? bytes(value) : count(value));
    const facts = pairs([
      ["Devices", it.devices.map(({ device, node, status }) => `${device} (${status}, ${node ?? "?"})`).join(", ") || "none"],
      ["Limits", lines(it.limits.map(({ limit, a_second, burst }) => `${words(limit)} ${much(limit, a_second)}/s, burst ${much(limit, burst)}`))],
    ]);
    return [make("article", "panel", [head, ...standing, facts]), ...this.#connections(it, true)];
  }

  #connections(it, isOfUser = false) {
    const cards = it.connections.map((one) => this.#connection(one, isOfUser));
    if (cards.length === 0) cards.push(make("p", "quiet", "Not connected, and no connection ended within the last hour."));
    if (it.more > 0) cards.push(make("p", "quiet", `${it.more} more are not shown.`));
    return cards;
  }

  #connection(one, isOfUser) {
    const { connection, node, user, kind, device, address, since_ms, token, transport, rooms = [], rooms_count, events, recovered } = one;
    const [state, tone] = stateOf(one.state);
    const buttons = [["Revoke…", () => this.#security.revoke({ kind: "connection", what: connection })]];
    if (token?.id) buttons.push(["Revoke token…", () => this.#security.revoke({ kind: "token", what: token.id })]);
    if (address) buttons.push(["Ban address…", () => this.#security.ban({ kind: "address", whom: address })]);
    const head = this.#head("Connection", connection, buttons);
    const facts = [
      ["State", make("span", `tag ${tone}`, state)],
      ...(isOfUser ? [] : [["User", this.#link("users", user)]]),
      ["Node", node],
      ["From", [address, device && `device ${device}`, KINDS[kind] ?? kind, since_ms && `since ${moment(since_ms)}`, recovered && "recovered"].filter(Boolean).join(", ")],
    ];
    if (token) facts.push(["Token", [token.role, token.id && `jti ${token.id}`, token.class && `class ${token.class}`, `until ${moment(token.expires_at * 1000)}`].filter(Boolean).join(", ")]);
    if (transport) {
      const t = transport;
      facts.push(["Transport", [t.websocket ? "websocket" : "long-polling", t.compressed && "compressed", t.blocked && "takes no more", t.behind && "behind"].filter(Boolean).join(", ")]);
      facts.push(["Traffic", `${bytes(t.received_bytes)} in, ${bytes(t.sent_bytes)} out; ${some(t.asked, "event")} in, ${some(t.delivered, "message")} out; ${bytes(t.queue_bytes)} queued`]);
    }
    if (rooms.length > 0) {
      const links = rooms.slice(0, ROOMS_SHOWN).flatMap((room) => [this.#link("rooms", room), " "]);
      if (rooms_count > ROOMS_SHOWN) links.push(`and ${rooms_count - ROOMS_SHOWN} more`);
      facts.push(["Rooms", make("span", "", links)]);
    }
    const record = events.length === 0 ? make("p", "quiet", "Nothing has happened to it.") : make("ol", "record", runs(events).map(({ at, text, times }) => make("li", "", [make("time", "", clock(at), { dateTime: new Date(at).toISOString() }), make("span", "", times > 1 ? `${text} (${times} times)` : text)])));
    return make("article", "panel", [head, pairs(facts), make("h4", "", "Flight record"), record]);
  }

  #room(it) {
    const { history } = it;
    const facts = pairs([
      ["Position", `message ${it.seq}, epoch ${it.epoch}`],
      ["History", history.first_seq ? `${history.first_seq} to ${history.last_seq}, from ${moment(history.first_ts)}` : "nothing is kept"],
      ["Latest", lines(it.latest.map(({ seq, from, ts, bytes: size }) => `${seq} from ${from} at ${clock(ts)}, ${bytes(size)}`)) || "none"],
    ]);
    const nodes = it.nodes.filter(({ sessions }) => sessions > 0).map(({ node, seq, connected, sessions, members }) => make("article", "panel", [
      make("h4", "", `${node}: ${connected} connected, ${some(sessions, "session")}, up to message ${seq}`),
      make("ul", "rows", members.map((member) => make("li", "row", [make("span", "row-title", [this.#link("users", member.user)]), make("span", "row-facts", member.connected ? "connected" : "away"), this.#link("connections", member.connection)]))),
    ]));
    return [make("article", "panel", [this.#head("Room", it.room, []), facts]), ...nodes];
  }

  #stream(it) {
    const { home } = it;
    const facts = pairs([
      ["Published", home ? `at ${home.node ?? home.incarnation} since ${moment(home.since_ms)}, ${home.publishers} publishing, ${home.viewers} watching` : "no relay says that it has it"],
      ["Relays", it.relays.map(({ node, incarnation, publishers, viewers, load_permille }) => `${node ?? incarnation}: ${publishers} publishing, ${viewers} watching${load_permille === null ? "" : `, load ${load_permille / 10} %`}`).join(" · ")],
    ]);
    const nodes = it.nodes.map(({ node, sessions, more }) => make("article", "panel", [
      make("h4", "", `Through ${node}${more > 0 ? `, ${more} more` : ""}`),
      make("ul", "rows", sessions.map(({ connection, role }) => make("li", "row", [make("span", "row-title", [make("span", "tag", role)]), this.#link("connections", connection)]))),
    ]));
    return [make("article", "panel", [this.#head("Stream", it.stream, []), facts]), ...nodes];
  }

  #head(kind, name, buttons) {
    const made = buttons.map(([text, act]) => {
      const button = make("button", "small", text, { type: "button", ariaLabel: `${text} (${name})` });
      button.addEventListener("click", act);
      return button;
    });
    return make("div", "found-head", [make("h3", "", [make("span", "quiet", `${kind} `), name], { tabIndex: -1 }), make("div", "buttons", made)]);
  }

  #link(kind, id) {
    const link = make("button", "link", id, { type: "button" });
    link.addEventListener("click", () => this.go(kind, id));
    return link;
  }
}

const pairs = (facts) => make("dl", "facts", facts.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", "", name), make("dd", "", typeof value === "string" ? value : [value])]));

/** One beside the other where there is room. */
const lines = (texts) => texts.length > 0 && make("ul", "lines", texts.map((text) => make("li", "", text)));

function stateOf(state) {
  if (state === "connected") return ["connected", "tag-good"];
  if (state.away) return [`away, may come back for ${until(state.away.until_ms)}`, "tag-warn"];
  const { at_ms, reason, code, text } = state.closed;
  return [`closed at ${moment(at_ms)}: ${words(reason)}${code ? ` (${code})` : ""}${text && text !== words(reason) ? `, ${text}` : ""}`, "tag-bad"];
}

/** What happened again and again is one line. */
function runs(events) {
  const all = [];
  for (const event of events) {
    const text = happened(event);
    if (all.at(-1)?.text === text) all.at(-1).times++;
    else all.push({ at: event.at_ms, text, times: 1 });
  }
  return all;
}

function happened({ what, room = "", event = "", reason = "", number = "" }) {
  const of = room && ` of ${room}`;
  const texts = {
    joined: `joined ${room}`,
    left: `left ${room}`,
    delivered: `was given message ${number}${of}`,
    delivered_through: `… to message ${number}${of}`,
    asked: `sent ${event}`,
    answered: `sent ${event}, answered after ${number} ms`,
    refused: `${event} refused: ${words(reason)}${of}`,
    muted: `${event} refused: muted`,
    blocked: `the kernel takes no more; ${number} bytes wait`,
    behind: `behind: its queue is full with ${number} bytes, messages are kept back`,
    refilled: `was given ${number} events that it had missed`,
    dropped: `${number} events dropped that nobody is promised`,
    discarded: `${number} bytes thrown away: the client had gone`,
    pong_late: `answered a ping only after ${number} ms`,
    recovered: `recovered, with ${number} missed messages`,
    not_recovered: `could not be recovered; ${number} rooms lost`,
    token_expiring: `its token ends in ${number} s`,
    token_refreshed: "brought a new token",
  };
  return texts[what] ?? words(what);
}
