// The dashboard: signing in, the figures as they come, and where each of them stands on the page.

import { by, hide, make } from "../demo/dom.js";
import { Api } from "./api.js";
import { Figures } from "./figures.js";
import { Find } from "./find.js";
import { Tile } from "./plot.js";
import { Security } from "./security.js";
import { bytes, clock, count, duration, percent, some } from "./words.js";

const DONE_MS = 6_000;
/** Of a plot, while little is known. */
const SPAN_MIN_MS = 60_000;

// Every value of a moment; the plots are made of them.
const VALUES = {
  connections: (cut) => cut.sum("connections"),
  messages: (cut) => cut.rate("messages"),
  deliveries: (cut) => cut.rate("deliveries"),
  lag50: (cut) => cut.max("lag_p50_us"),
  lag99: (cut) => cut.max("lag_p99_us"),
  recovered: (cut) => cut.rate("recovered"),
  notRecovered: (cut) => cut.rate("not_recovered"),
  rooms: (cut) => cut.sum("rooms"),
  streams: (cut) => cut.sum("publishers"),
  viewers: (cut) => cut.sum("viewers"),
  received: (cut) => total(cut.rate("received_bytes"), cut.rate("media_received_bytes")),
  sent: (cut) => total(cut.rate("sent_bytes"), cut.rate("media_sent_bytes")),
  bans: (cut) => total(cut.max("bans"), cut.max("mutes")),
  limited: (cut) => cut.rate("limited"),
  signals: (cut) => cut.rate("signals"),
  redis: (cut) => cut.max("redis_p99_us"),
  probe: (cut) => cut.max("probe_p99_us"),
  cpu: (cut) => share(cut.rate("cpu_ms")),
};

const total = (...values) => (values.every((value) => value === null) ? null : values.reduce((sum, value) => sum + (value ?? 0), 0));
/** Milliseconds a second, of one processor. */
const share = (rate) => (rate === null ? null : rate / 10);
const perSecond = (value) => (value === null || value === undefined ? "–" : `${count(value)}/s`);
const facts = (...parts) => parts.filter(Boolean).join(" · ");

const TILES = [
  { id: "connections", title: "Connections", lines: [{ of: "connections" }], show: count, note: (cut) => facts(some(cut.sum("websockets"), "websocket"), `${count(cut.sum("away"))} away`, `${perSecond(cut.rate("opened"))} new`) },
  { id: "messages", title: "Messages", lines: [{ of: "messages" }], show: perSecond, note: (cut) => `${count(cut.sum("messages"))} since the nodes started` },
  { id: "deliveries", title: "Deliveries", lines: [{ of: "deliveries" }], show: perSecond, note: (cut) => facts(`${bytes(cut.sum("queue_bytes"))} queued`, some(cut.sum("slow_closed"), "slow close")) },
  { id: "lag", title: "Delivery lag", lines: [{ of: "lag99", name: "p99" }, { of: "lag50", name: "p50" }], show: duration, note: (cut, { lag50 }) => lag50 === null ? "p99, of the slowest node" : `p50 ${duration(lag50)} · of the slowest node` },
  { id: "recovery", title: "Recovery", lines: [{ of: "recovered", name: "recovered" }, { of: "notRecovered", name: "failed" }], show: perSecond, note: (cut) => facts(`${count(cut.sum("recovered"))} recovered`, `${count(cut.sum("not_recovered"))} failed`, `${count(cut.sum("replayed"))} replayed`) },
  { id: "rooms", title: "Rooms", lines: [{ of: "rooms" }], show: count, note: () => "open, on each node" },
  { id: "streams", title: "Viewers", lines: [{ of: "viewers", name: "viewers" }, { of: "streams", name: "publishers" }], show: count, note: (cut) => facts(`${count(cut.sum("publishers"))} publishing`, some(cut.sum("streams"), "stream"), `${count(cut.sum("recordings"))} recorded`) },
  { id: "traffic", title: "Traffic", lines: [{ of: "sent", name: "out" }, { of: "received", name: "in" }], show: (value) => (value === null ? "–" : `${bytes(value)}/s`), note: (cut, { received }) => `${received === null ? "–" : `${bytes(received)}/s`} in` },
  { id: "bans", title: "Limits and bans", lines: [{ of: "limited", name: "limited" }], show: perSecond, note: (cut) => facts(`${count(cut.max("bans"))} banned`, `${count(cut.max("mutes"))} muted`, `${count(cut.sum("turned_away"))} turned away`) },
  { id: "signals", title: "Security events", lines: [{ of: "signals", name: "signals" }], show: perSecond, note: (cut) => facts(some(cut.sum("signals"), "signal"), some(cut.sum("detections"), "measure"), `${some(cut.sum("tokens_refused"), "token")} refused`, cut.min("audit_well") === 0 && "audit log failing") },
  { id: "redis", title: "Redis", lines: [{ of: "redis", name: "command p99" }, { of: "probe", name: "probe p99" }], show: duration, note: redisNote },
  { id: "cpu", title: "CPU of one core", lines: [{ of: "cpu" }], show: percent, note: (cut) => facts(`${bytes(cut.sum("memory_bytes"))} memory`, some(cut.sum("descriptors"), "descriptor")) },
];

function redisNote(cut) {
  const commands = cut.rate("redis_commands");
  if (cut.sum("redis_commands") === null) return "not in use: one process has it all";
  const breakers = cut.max("breakers");
  return facts(`${perSecond(commands)} commands`, some(cut.sum("redis_failures"), "failure"), breakers > 0 && `${some(breakers, "breaker")} open`);
}

const kept = {
  get token() {
    return sessionStorage.getItem("turnpike.admin");
  },
  set token(token) {
    if (token) sessionStorage.setItem("turnpike.admin", token);
    else sessionStorage.removeItem("turnpike.admin");
  },
};

// A link that development prints has its token behind the `#`, which no server sees; it does not stay in the history.
if (location.hash.startsWith("#token=")) {
  kept.token = decodeURIComponent(location.hash.slice("#token=".length));
  history.replaceState(null, "", location.pathname);
}

// Another such link, in a tab that is here already.
addEventListener("hashchange", () => location.hash.startsWith("#token=") && location.reload());

let tries = 0;
by("enter-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = by("token").value.trim();
  // The latest one counts, whichever is answered last.
  const own = ++tries;
  try {
    await new Api(token).ask("GET", "nodes");
    if (own !== tries) return;
    by("token").value = "";
    kept.token = token;
    enter(token);
  } catch (error) {
    if (own === tries) refuse(error);
  }
});

if (kept.token) enter(kept.token);
else refuse();

function refuse(error) {
  document.body.classList.remove("waiting");
  by("enter").hidden = false;
  by("desk").hidden = true;
  by("enter-problem").hidden = !error;
  if (error) by("enter-problem").textContent = error.isOfToken && error.status === 403 ? `${error.message}.` : error.message;
  by("token").focus();
}

function enter(token) {
  const api = new Api(token);
  const leaving = new AbortController();
  const { signal } = leaving;
  const figures = new Figures((cut) => Object.fromEntries(Object.entries(VALUES).map(([name, of]) => [name, of(cut)])));
  const tiles = TILES.map((tile) => new Tile(tile));
  const rows = new Map();
  let saidDone;
  let heardAt = null;

  const done = (words) => {
    by("done").textContent = words;
    clearTimeout(saidDone);
    saidDone = setTimeout(() => (by("done").textContent = ""), DONE_MS);
    draw();
  };
  const leave = (error) => {
    leaving.abort();
    clearTimeout(saidDone);
    kept.token = null;
    by("found").replaceChildren();
    by("records").replaceChildren();
    refuse(error);
  };
  const security = new Security(api, { done, signal });
  new Find(api, security, { signal });

  document.body.classList.remove("waiting");
  by("enter").hidden = true;
  by("desk").hidden = false;
  by("tiles").replaceChildren(...tiles.map(({ element }) => element));
  by("node-rows").replaceChildren();
  by("leave").addEventListener("click", () => leave(), { signal });
  by("span").addEventListener("change", draw, { signal });

  const isOffline = () => by("status").classList.contains("offline");
  const state = (kind, words) => {
    by("status").className = `status ${kind}`;
    if (by("status-text").textContent !== words) by("status-text").textContent = words;
  };
  state("connecting", "connecting…");
  api.watch({
    signal,
    onLine: (line, isFirst) => {
      figures.line(line, isFirst);
      heardAt = Date.now();
      state("online", "live");
      if (!document.hidden) draw();
    },
    onState: () => {
      state("offline", "no answer, trying again");
      draw();
    },
    onRefused: leave,
  });
  document.addEventListener("visibilitychange", () => !document.hidden && draw(), { signal });

  function draw() {
    const cut = figures.all();
    const known = figures.now - (figures.points[0]?.at ?? figures.now);
    const span = Number(by("span").value) || Math.max(SPAN_MIN_MS, known);
    for (const tile of tiles) {
      tile.draw(figures, span, cut);
      tile.describe();
    }
    drawNodes();
    drawFaults();
    security.counts(figures);
  }

  function drawFaults() {
    const own = figures.list.find(({ node }) => node.own);
    const lost = `${own?.node.name ?? "The node of this page"} ${security.leaving.has(own?.id) ? "was drained: open the dashboard of another node" : "does not answer, trying again"}.${heardAt ? ` The figures are of ${clock(heardAt)}.` : ""}`;
    const all = isOffline() ? [lost] : figures.list.flatMap((one) => [...(one.isSilent(figures.now) ? ["does not answer"] : []), ...one.faults].map((fault) => `${one.node.name}: ${fault}`));
    const text = all.join("\n");
    const element = by("faults");
    if (element.dataset.text === text && element.firstChild) return;
    element.dataset.text = text;
    element.replaceChildren(all.length === 0 ? make("p", "well", "All nodes are healthy.") : make("ul", "", all.map((fault) => make("li", "", fault))));
  }

  function drawNodes() {
    const { list } = figures;
    by("nodes-note").textContent = facts(some(list.length, "node"), figures.more > 0 && `${figures.more} more are not shown`);
    for (const [id, row] of rows) {
      if (figures.nodes.has(id)) continue;
      hide(row.element, by("nodes"));
      row.element.remove();
      rows.delete(id);
    }
    list.forEach((node, index) => {
      if (!rows.has(node.id)) rows.set(node.id, new NodeRow(node, security));
      const row = rows.get(node.id);
      row.draw(node, figures.now, security.leaving.has(node.id), list.length + figures.more === 1);
      if (by("node-rows").children[index] !== row.element) by("node-rows").insertBefore(row.element, by("node-rows").children[index] ?? null);
    });
  }
}

/** A line of the table, changed in place: whoever is at its button keeps it. */
class NodeRow {
  constructor({ id, node }, security) {
    this.name = make("th", "", [make("strong", "", node.name), make("span", "quiet", node.own ? " this node" : "")], { scope: "row" });
    this.state = make("span", "tag", "");
    this.cells = Array.from({ length: 9 }, () => make("td"));
    this.cells.slice(0, 8).forEach((cell) => (cell.className = "number"));
    this.drain = make("button", "small", "Drain…", { type: "button", ariaLabel: `Drain ${node.name}` });
    this.drain.addEventListener("click", () => this.isLeaving || security.drain({ id, name: node.name, isOwn: node.own, isLast: this.isLast }));
    this.element = make("tr", "", [this.name, make("td", "", [this.state]), ...this.cells, make("td", "", [this.drain])]);
  }

  /** `wasSentAway`: from this page, which its next line need not say yet. */
  draw(figures, now, wasSentAway, isLast) {
    const { node, faults } = figures;
    const isLeaving = node.draining || wasSentAway;
    Object.assign(this, { isLast, isLeaving });
    this.drain.ariaDisabled = String(isLeaving);
    const [state, tone] = isLeaving ? ["draining", "tag-warn"] : figures.isSilent(now) ? ["silent", "tag-bad"] : faults.length > 0 ? ["unhealthy", "tag-bad"] : ["healthy", "tag-good"];
    this.state.textContent = node.relay?.alone ? `${state}, relay` : state;
    this.state.className = `tag ${tone}`;
    const cut = figures.cut();
    const texts = cut
      ? [count(cut.sum("connections")), count(cut.rate("messages")), count(cut.rate("deliveries")), duration(cut.sum("lag_p99_us")), count(cut.sum("rooms")), count(cut.sum("viewers")), percent(share(cut.rate("cpu_ms"))), bytes(cut.sum("memory_bytes")), node.version]
      : [...Array(8).fill("–"), node.version];
    texts.forEach((text, index) => {
      if (this.cells[index].textContent !== text) this.cells[index].textContent = text;
    });
  }
}
