// Who is shut out, what was called back, what speaks against whom; and the deeds that belong to it.

import { by, make } from "../demo/dom.js";
import { confirm, DURATIONS } from "./confirm.js";
import { count, moment, until, words } from "./words.js";

const EVERY_MS = 5_000;
const RECORDS = 100;
const PAGES_MAX = 5;
const COUNTS_MAX = 8;

export class Security {
  #api;
  #done;
  #timer;
  #signal;
  #isReading = false;
  #asked = 0;
  #shown = 0;
  /** Told after each deed. */
  onDeed = () => {};
  /** Nodes that were sent away from this page, by their ids. */
  leaving = new Set();

  constructor(api, { done, signal }) {
    this.#api = api;
    this.#signal = signal;
    this.#done = (words) => {
      done(words);
      this.lists();
      this.onDeed();
    };
    const on = (id, act) => by(id).addEventListener("click", act, { signal });
    on("ban", () => this.ban());
    on("revoke", () => this.revoke());
    on("audit", () => this.#audit());
    this.#timer = setInterval(() => this.lists(), EVERY_MS);
    signal.addEventListener("abort", () => clearInterval(this.#timer));
    this.lists();
  }

  counts(figures) {
    list("signals", figures.growth("signal:").slice(0, COUNTS_MAX).map(([name, value]) => counted(name, value)), "Nothing has been noticed.");
    list("limits", figures.growth("limit:").slice(0, COUNTS_MAX).map(([name, value]) => counted(name, value)), "No limit was reached.");
  }

  async lists() {
    const asked = ++this.#asked;
    try {
      const [{ bans }, { revocations }] = await Promise.all([this.#api.ask("GET", "bans"), this.#api.ask("GET", "revocations")]);
      // What was asked before a deed, and is answered after what was asked behind it, is old.
      if (asked < this.#shown || this.#signal.aborted) return;
      this.#shown = asked;
      list("bans", bans.map((ban) => this.#ban(ban)), "Nobody is banned or muted.");
      list("revocations", revocations.map((one) => this.#revocation(one)), "Nothing is revoked.");
    } catch {
      // The state of the connection says so.
    }
  }

  ban({ kind = "user", whom = "" } = {}) {
    confirm({
      title: whom ? `Ban ${whom}?` : "Ban somebody",
      text: "Whoever it is loses all connections on every node within a second, and gets none until it ends.",
      yes: "Ban",
      fields: [
        ...(whom ? [] : [{ name: "kind", label: "Whom", options: [["user", "A user"], ["address", "An address or network"]] }, { name: "whom", label: "Name, address or network", required: true }]),
        { name: "seconds", label: "For", options: DURATIONS, value: "3600" },
        { name: "reason", label: "Reason, for the audit log" },
      ],
      act: async ({ kind: chosen = kind, whom: named = whom, seconds, reason }) => {
        await this.#api.ask("POST", "bans", { [chosen]: named.trim(), seconds: Number(seconds), reason });
        this.#done(`${named} is banned.`);
      },
    });
  }

  revoke({ kind = "user", what = "" } = {}) {
    const texts = {
      user: "All tokens of the user that were issued until now are void. Whoever signs in again comes in again.",
      token: "The token is void, and whoever is connected with it is disconnected.",
      connection: "The connection is closed and cannot be taken up again.",
    };
    confirm({
      title: what ? `Revoke ${kind === "user" ? `the tokens of ${what}` : `${kind} ${what}`}?` : "Revoke",
      text: what ? texts[kind] : "Whoever is connected with it is disconnected on every node within a second.",
      yes: "Revoke",
      fields: [
        ...(what ? [] : [{ name: "kind", label: "What", options: [["user", "All tokens of a user"], ["token", "A token, by its jti"], ["connection", "A connection"]] }, { name: "what", label: "Its name or id", required: true }]),
        { name: "seconds", label: "Remembered for, at least as long as tokens are valid", options: DURATIONS, value: "86400" },
      ],
      act: async ({ kind: chosen = kind, what: named = what, seconds }) => {
        await this.#api.ask("POST", "revocations", { [chosen]: named.trim(), seconds: Number(seconds) });
        this.#done(`${named} is revoked.`);
      },
    });
  }

  disconnect(user) {
    confirm({
      title: `Disconnect ${user}?`,
      text: "All connections of the user are closed, on every node. The token stays valid: a ban or a revocation keeps somebody away.",
      yes: "Disconnect",
      act: async () => {
        await this.#api.ask("POST", `users/${encodeURIComponent(user)}/disconnect`, {});
        this.#done(`${user} is being disconnected.`);
      },
    });
  }

  /** Any node of the cluster; `isLast`: there is no other that could take its clients. */
  drain({ id, name, isOwn, isLast }) {
    const text = [
      isLast ? "It is the only node: clients are sent away and find nobody until one is started." : "Nobody new is let in, and clients are moved to the other nodes over the drain window.",
      "Then its process ends. It cannot be taken back.",
      isOwn && "This page is of this node and ends with it.",
    ];
    confirm({
      title: `Drain ${name}?`,
      text: text.filter(Boolean).join(" "),
      yes: "Drain",
      act: async () => {
        await this.#api.ask("POST", `nodes/${encodeURIComponent(id)}/drain`);
        this.leaving.add(id);
        this.#done(`${name} is leaving.`);
      },
    });
  }

  #ban({ kind, whom, step, until_ms, reason, by: who }) {
    const lift = make("button", "small", "Lift…", { type: "button", ariaLabel: `Lift what holds against ${whom}` });
    lift.addEventListener("click", () => confirm({
      title: `Let ${whom} in again?`,
      text: `It would end by itself in ${until(until_ms)}.`,
      yes: "Lift",
      act: async () => {
        await this.#api.ask("DELETE", `bans?${kind}=${encodeURIComponent(whom)}`);
        this.#done(`Nothing holds against ${whom} any more.`);
      },
    }));
    return row([make("span", `tag ${step === "ban" ? "tag-bad" : "tag-warn"}`, step), make("strong", "", whom)], [reason, `by ${who}`, `${until(until_ms)} left`], lift);
  }

  #revocation({ kind, what, until_ms }) {
    const lift = make("button", "small", "Lift…", { type: "button", ariaLabel: `Lift the revocation of ${kind} ${what}` });
    lift.addEventListener("click", () => confirm({
      title: `Lift the revocation of ${what}?`,
      text: "Whoever has it can come in with it again.",
      yes: "Lift",
      act: async () => {
        await this.#api.ask("DELETE", `revocations?${kind}=${encodeURIComponent(what)}`);
        this.#done(`${what} is valid again.`);
      },
    }));
    return row([make("span", "tag", kind), make("strong", "", what)], [`${until(until_ms)} left`], lift);
  }

  /** Oldest first, so it is read to its end, or as far as is sensible. */
  async #lastHour() {
    const all = [];
    let after;
    for (let page = 0; page < PAGES_MAX; page++) {
      const { records, next } = await this.#api.ask("GET", `audit/records?since=1h&limit=1000${after === undefined ? "" : `&after=${after}`}`);
      all.push(...records);
      if (next === undefined) break;
      after = next;
    }
    return all;
  }

  async #audit() {
    // Not disabled meanwhile: whoever pressed it by keyboard would be at the top of the page.
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      const records = await this.#lastHour();
      if (this.#signal.aborted) return;
      // What the log writes about itself is for whoever verifies it, and of a request that has ended its end says it all.
      const ended = new Set(records.filter(({ activity }) => activity === "result").map(({ request }) => request?.id));
      const told = records.filter((one) => one.class !== "log" && !(one.activity === "intent" && ended.has(one.request?.id)));
      const shown = told.slice(-RECORDS).toReversed().map((one) => {
        const { time, class: kind, activity, outcome, reason, beside = {}, object, request } = one;
        // Personal values stand beside the record, each with its salt.
        const value = (field) => beside[field]?.[1];
        const about = value("object.id") ?? (typeof object?.id === "string" ? object.id : "");
        const what = request?.route ? `${request.method} ${request.route.replace("/admin/v1/", "")}` : words(activity);
        const facts = [value("actor.user"), about && `${object.kind} ${about}`, value("connection.address"), outcome, reason && words(reason)];
        return row([make("time", "", moment(Date.parse(time)), { dateTime: time }), make("span", "tag", words(kind)), make("strong", "", what)], facts);
      });
      list("records", shown, "Nothing was written down.");
      if (told.length > RECORDS) by("records").append(make("li", "quiet", `The latest ${RECORDS}. For all of it: turnpike audit query --since 1h`));
    } catch (error) {
      list("records", [make("li", "problem", error.message)]);
    } finally {
      this.#isReading = false;
    }
  }
}

function row(title, facts, ...actions) {
  return make("li", "row", [make("span", "row-title", title), make("span", "row-facts", facts.filter(Boolean).join(" · ")), ...actions]);
}

const counted = (name, value) => make("li", "", [make("span", "", words(name)), make("strong", "", count(value))]);

/**
 * What is the same stays, and with it whoever is at a button of it. When that one goes, they are at the beginning of the part and
 * not at the top of the page.
 */
function list(id, items, empty = "") {
  const element = by(id);
  const all = items.length > 0 ? items : [make("li", "quiet", empty)];
  const before = new Map([...element.children].map((item) => [item.textContent, item]));
  const hadFocus = element.contains(document.activeElement);
  const next = all.map((item) => before.get(item.textContent) ?? item);
  if (next.length === element.children.length && next.every((item, index) => item === element.children[index])) return;
  const at = document.activeElement?.ariaLabel;
  element.replaceChildren(...next);
  if (hadFocus) ([...element.querySelectorAll("button")].find((button) => button.ariaLabel === at) ?? element.closest("section")).focus({ preventScroll: true });
}
