// The demo: one name, some rooms, live video, and what a lost connection looks like when nothing is lost.

import { connect } from "./turnpike.js";
import { by, hide, hue, list, make } from "./demo/dom.js";
import { OnAir, Streams, Watch } from "./demo/live.js";
import { FILE_BYTES_MAX, RoomView } from "./demo/room.js";

const INTERRUPTED_MS = 5_000;
const LOBBY = "chat:lobby";
const OPENED_BY = { side: "menu", people: "people-button" };
/** As the style sheet has it. */
const isNarrow = matchMedia("(max-width: 60rem)");
const MOODS = { online: "online", away: "away", busy: "busy", invisible: "invisible" };

const kept = {
  get name() {
    return sessionStorage.getItem("name") ?? "";
  },
  set name(name) {
    sessionStorage.setItem("name", name);
  },
  get rooms() {
    return JSON.parse(sessionStorage.getItem("rooms") ?? "[]");
  },
  set rooms(rooms) {
    sessionStorage.setItem("rooms", JSON.stringify(rooms));
  },
};

by("name").value = kept.name;
by("name").focus();
let isEntering = false;
by("enter-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  // Who presses twice comes in once.
  if (isEntering) return;
  isEntering = true;
  const user = by("name").value.trim();
  const problem = by("enter-problem");
  problem.hidden = true;
  try {
    await fetchToken(user);
    kept.name = user;
    enter(user);
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  } finally {
    isEntering = false;
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

function enter(user) {
  const client = connect({ token: () => fetchToken(user) });
  const rooms = new Map();
  const leaving = new AbortController();
  const listen = (target, name, handler) => target.addEventListener(name, handler, { signal: leaving.signal });
  let here = null;
  let watch = null;

  by("enter").hidden = true;
  by("house").hidden = false;
  by("me").textContent = user;

  // Redrawn at most once a frame, however much happens.
  let drawn = true;
  const changed = () => {
    if (!drawn) return;
    drawn = false;
    requestAnimationFrame(() => {
      drawn = true;
      if (!leaving.signal.aborted) draw();
    });
  };

  const streams = new Streams(changed, leaving.signal);
  const air = new OnAir(client, `live:${user}`, changed);

  function open(name) {
    if (!rooms.has(name)) {
      const room = new RoomView(client, user, name, changed);
      rooms.set(name, room);
      by("logs").append(room.log.element, room.log.newer);
      room.join();
      kept.rooms = [...rooms.keys()];
    }
    here?.hide();
    here = rooms.get(name);
    for (const room of rooms.values()) room.log.element.hidden = room !== here;
    history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    here.show();
    close("side", "chat-room");
    changed();
  }

  const isShown = (panel) => by(panel).classList.contains("open");

  function show(panel, isOpen) {
    by(panel).classList.toggle("open", isOpen);
    by(OPENED_BY[panel]).ariaExpanded = String(isOpen);
    // On a small screen it lies over the room, which cannot be reached meanwhile.
    by("chat").inert = isOpen && isNarrow.matches;
    by("veil").hidden = !by("chat").inert;
  }

  function close(panel, next = OPENED_BY[panel]) {
    if (!isShown(panel)) return;
    const wasThere = by("chat").inert || by(panel).contains(document.activeElement);
    show(panel, false);
    if (wasThere) by(next).focus();
  }

  const closeAll = () => Object.keys(OPENED_BY).forEach((panel) => close(panel));

  /** Where whoever has come into a room goes on: writing; where that would call up a keyboard of glass, at its name. */
  const arrive = () => by(isNarrow.matches ? "chat-room" : "text").focus();

  async function closeRoom(name) {
    const room = rooms.get(name);
    rooms.delete(name);
    room.log.element.remove();
    room.log.newer.remove();
    kept.rooms = [...rooms.keys()];
    open(rooms.keys().next().value ?? LOBBY);
    arrive();
    await client.leave(name).catch(() => {});
  }

  async function watchStream(stream) {
    // Nobody waits until the server has heard that.
    if (watch?.stream !== stream) watch?.end();
    open(stream);
    if (watch) return watch.element.focus();
    watch = new Watch(client, stream, (wasThere) => {
      watch = null;
      if (wasThere) arrive();
      changed();
    });
    by("stage").replaceChildren(watch.element);
    watch.element.focus();
    await watch.begin();
    changed();
  }

  // What is to be seen is a number; what it counts is for those who hear it.
  const badge = (count, what) => make("span", "badge", [String(count), make("span", "unseen", ` ${what}`)]);

  function draw() {
    list("rooms", [...rooms.values()].map((room) => {
      const button = make("button", "item", [make("span", "item-name", room.name)], { type: "button" });
      if (room === here) button.setAttribute("aria-current", "page");
      button.dataset.key = room.name;
      if (room.unread > 0 && room !== here) button.append(badge(room.unread, "unread"));
      button.addEventListener("click", () => {
        open(room.name);
        arrive();
      });
      return make("li", "", [button]);
    }));
    const others = streams.list.filter(({ stream }) => stream !== air.stream || !air.publication);
    list("streams", others.length === 0
      ? [make("li", "empty", "Nobody is live. Be the first.")]
      : others.map(({ stream, viewers }) => {
          const button = make("button", "item", [make("span", "live-dot"), make("span", "item-name", stream), badge(viewers, "watching")], { type: "button" });
          button.dataset.key = stream;
          if (watch?.stream === stream) button.setAttribute("aria-current", "true");
          button.addEventListener("click", () => watchStream(stream));
          return make("li", "", [button]);
        }));
    const isOnAir = air.publication !== null;
    by(isOnAir ? "on-air" : "go").hidden = false;
    hide(by(isOnAir ? "go" : "on-air"), isOnAir ? by("air-mute") : by("go").querySelector("button"));
    const onAir = `On air as ${air.stream} · ${air.viewers} watching${air.recording ? " · recorded" : ""}`;
    if (by("air-text").textContent !== onAir) by("air-text").textContent = onAir;
    by("air-mute").textContent = air.muted ? "Unmute" : "Mute";
    by("air-record").textContent = air.recording ? "Stop recording" : "Record";
    if (!here) return;
    by("chat-room").textContent = here.name;
    document.title = `${total() > 0 ? `(${total()}) ` : ""}${here.name} · Turnpike`;
    by("leave-room").hidden = here.name === LOBBY;
    by("text-label").textContent = `Message to ${here.name}`;
    by("people-button").textContent = `${here.count} here`;
    by("people-button").ariaLabel = `${here.count} here, show who`;
    list("members", [...here.members.values()].sort((a, b) => a.user.localeCompare(b.user)).map(({ user: name, status, devices }) =>
      make("li", "member", [
        make("span", `mood ${MOODS[status] ?? ""}`, "", { role: "img", ariaLabel: status }),
        make("span", `item-name ${hue(name)}`, name === user ? `${name} (you)` : name),
        make("span", "quiet", devices > 1 ? `${devices} devices` : status === "online" ? "" : status),
      ])));
    const { users, more } = here.typists;
    by("typing").textContent = users.length === 0 ? "" : `${users.join(", ")}${more > 0 ? ` and ${more} more` : ""} ${users.length + more > 1 ? "are" : "is"} typing…`;
  }

  const total = () => [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);

  // What the connection does.
  let countdown = 0;
  const WORDS = { connecting: "connecting…", online: "online", offline: "offline", refused: "not let in", closed: "signed out" };
  client.on("status", (status, { retryInMs, reason }) => {
    by("status").className = `status ${status}`;
    by("status-text").textContent = WORDS[status];
    by("interrupt").ariaDisabled = String(status !== "online");
    clearInterval(countdown);
    const banner = (words) => {
      by("banner").hidden = words === "";
      by("banner").classList.toggle("bad", status === "refused");
      if (by("banner-text").textContent !== words) by("banner-text").textContent = words;
      by("banner-count").textContent = "";
    };
    if (status === "online") {
      banner("");
    } else if (status === "offline") {
      const due = Date.now() + (retryInMs ?? 0);
      // Is not read out each time that it changes.
      const count = () => {
        const left = Math.max(0, Math.ceil((due - Date.now()) / 1000));
        by("banner-count").textContent = ` Trying again${left > 0 ? ` in ${left} s` : ""}.`;
      };
      banner(`No connection${reason ? ` (${reason})` : ""}. What you write is kept and sent afterwards.`);
      count();
      countdown = setInterval(count, 500);
    } else if (status === "refused") {
      banner(reason === "banned"
        ? "You are banned. What you write reaches nobody until the ban ends."
        : `The server does not let us in${reason ? `: ${reason}` : ""}. Sign out and in again.`);
      // Nobody sees it any more: the camera is not left on.
      Promise.allSettled([air.end(), watch?.end()]);
    }
    changed();
  });
  client.on("message", (message) => rooms.get(message.room)?.message(message));
  client.on("gap", ({ room }) => rooms.get(room)?.gap());
  client.on("resync", ({ room }) => rooms.get(room)?.gap());
  client.on("rejoined", (rejoined) => rooms.get(rejoined.room)?.rejoined(rejoined));
  client.on("presence", (presence) => rooms.get(presence.room)?.presence(presence));
  client.on("typing", (typing) => rooms.get(typing.room)?.typing(typing));
  client.on("receipt", ({ room, marks }) => rooms.get(room)?.log.marks(marks));
  client.on("error", (error) => here?.note(error.message));

  // What the user does.
  const send = (body) => here.send(body);
  listen(by("say"), "submit", (event) => {
    event.preventDefault();
    const text = by("text").value.trim();
    if (!text) return;
    by("text").value = "";
    send({ text });
  });
  listen(by("text"), "input", () => (by("text").value ? here.typed() : here.stoppedTyping()));
  listen(by("attach"), "click", () => by("file").click());
  listen(by("file"), "change", () => attach(by("file").files));
  listen(by("logs"), "dragover", (event) => event.preventDefault());
  listen(by("logs"), "drop", (event) => {
    event.preventDefault();
    attach(event.dataTransfer.files);
  });
  async function attach(files) {
    for (const file of files) {
      if (file.size > FILE_BYTES_MAX) here.note(`${file.name} is too large: up to ${FILE_BYTES_MAX / 1000} kB.`);
      else send({ file: { name: file.name, type: file.type, bytes: new Uint8Array(await file.arrayBuffer()) } });
    }
    by("file").value = "";
  }
  listen(by("join"), "submit", (event) => {
    event.preventDefault();
    const name = by("join-room").value.trim();
    by("join-room").value = "";
    if (!name) return;
    open(name);
    arrive();
  });
  listen(by("mood"), "change", () => client.presence({ status: by("mood").value }).catch((error) => here.note(error.message)));
  client.on("session", ({ recovered }) => {
    if (!recovered && by("mood").value !== "online") client.presence({ status: by("mood").value }).catch(() => {});
  });
  listen(by("interrupt"), "click", () => {
    if (client.status !== "online") return;
    here.note("Connection cut. What is said meanwhile comes afterwards.");
    client.interrupt(INTERRUPTED_MS);
    close("side");
    arrive();
  });
  listen(by("leave-room"), "click", () => closeRoom(here.name));
  listen(by("menu"), "click", () => {
    show("side", true);
    (by("rooms").querySelector("[aria-current]") ?? by("mood")).focus();
  });
  listen(by("people-button"), "click", () => {
    show("people", !isShown("people"));
    if (by("chat").inert) by("people-close").focus();
  });
  for (const id of ["side-close", "people-close", "veil"]) listen(by(id), "click", closeAll);
  // A browser may take the keyboard from what a smaller screen hides before it says that the screen is smaller.
  let lastAt = null;
  listen(document, "focusin", ({ target }) => (lastAt = target));
  listen(isNarrow, "change", () => {
    const { activeElement, body } = document;
    const wasAside = by("side").contains(activeElement === body ? lastAt : activeElement);
    closeAll();
    if (wasAside && isNarrow.matches) by("menu").focus();
  });
  listen(document, "keydown", (event) => event.key === "Escape" && !event.isComposing && closeAll());
  // What came while nobody looked is read now.
  const looked = () => document.hidden || here?.show();
  listen(globalThis, "focus", looked);
  listen(document, "visibilitychange", looked);

  // Live.
  const failing = async (work) => {
    const problem = by("air-problem");
    problem.hidden = true;
    try {
      await work();
    } catch (error) {
      problem.textContent = error.name === "NotAllowedError" ? "The browser does not give us the camera." : error.message;
      problem.hidden = false;
    }
    changed();
  };
  by("preview").replaceChildren(air.preview);
  for (const button of by("go").querySelectorAll("button")) {
    listen(button, "click", () => failing(() => air.begin(button.dataset.source)));
  }
  listen(by("air-mute"), "click", () => failing(() => air.mute()));
  listen(by("air-record"), "click", () => failing(() => air.record()));
  listen(by("air-end"), "click", () => failing(() => air.end()));

  listen(by("leave"), "click", () => {
    // The server hears of both behind each other, and nobody waits for its answers.
    Promise.allSettled([air.end(), watch?.end()]);
    leaving.abort();
    clearInterval(countdown);
    client.close();
    closeAll();
    // Also what a list would keep for whoever comes next: it belongs to this connection.
    for (const place of ["logs", "stage", "heard", "rooms", "streams", "members"]) by(place).replaceChildren();
    by("house").hidden = true;
    by("enter").hidden = false;
    by("name").focus();
  });

  const wanted = decodeURIComponent(location.hash.slice(1));
  for (const name of new Set([LOBBY, ...kept.rooms, ...(/^[A-Za-z0-9._:@-]{1,128}$/.test(wanted) ? [wanted] : [])])) open(name);
  if (wanted && rooms.has(wanted)) open(wanted);
  arrive();
  streams.look();
}
