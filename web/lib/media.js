// Streams, sent and watched through a relay: sessions that go on where a relay leaves, a path breaks or the connection is lost.
//
// Media flows between us and the relay; the client's connection carries only what both have to agree on.

import { Emitter } from "./emitter.js";
import { TurnpikeError, closed } from "./error.js";

const AGAIN_FIRST_MS = 250;
const AGAIN_MAX_MS = 8_000;
const SHOWN_WITHIN_MS = 3_000;
const CREDENTIAL_SPARE_MS = 30_000;
const NO_SUCH_STREAM = 120;

const SIMULCAST = [
  { rid: "l", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "m", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "h", maxBitrate: 2_000_000 },
];

export class Media {
  #client;
  #refresh;
  #sessions = new Map(); // session -> Session

  constructor(client, refresh) {
    this.#client = client;
    this.#refresh = refresh;
    client.on("media:offer", (offer) => this.#sessions.get(offer.session)?._offered(offer));
    client.on("media:candidate", ({ session, candidate }) => this.#sessions.get(session)?._candidate(session, candidate));
    client.on("media:state", (state) => this.#sessions.get(state.session)?._told(state));
  }

  async publish(stream, media, { simulcast = false, ...rest } = {}) {
    const publication = new Publication(this, stream, media, { simulcast, ...rest });
    await publication._begin();
    return publication;
  }

  async subscribe(stream, options = {}) {
    const subscription = new Subscription(this, stream, options);
    await subscription._begin();
    return subscription;
  }

  /** A new session of the client: what is under way goes on in it. */
  resume() {
    for (const session of new Set(this.#sessions.values())) session._resume();
  }

  close() {
    for (const session of new Set(this.#sessions.values())) session._end(closed());
  }

  ask(event, data) {
    return this.#client.request(event, data);
  }

  keep(name, session) {
    this.#sessions.set(name, session);
  }

  forget(name) {
    this.#sessions.delete(name);
  }

  /** Helpers through firewalls; what they ask for ends soon, so it is asked for anew when it is old. */
  async iceServers() {
    const servers = this.#client.session?.ice_servers ?? [];
    const old = servers.some(({ expires_at: at }) => at !== undefined && at < Date.now() + CREDENTIAL_SPARE_MS);
    return old ? this.#refresh() : servers;
  }
}

/** What publications and subscriptions share. Events: `state`, `ended` (with the error, if there is one). */
class Session extends Emitter {
  #media;
  #next = null;
  #legs = new Map(); // session -> leg, also of those that only begin
  #muted = new Map(); // kind -> whether it is
  _leg = null; // the one that counts: { peer, session }
  state = null;
  ended = false;

  constructor(media, stream, options) {
    super();
    this.#media = media;
    this.stream = stream;
    this._options = options;
  }

  /** The RTCPeerConnection of now; another one takes its place when a relay leaves. */
  get peer() {
    return this._leg?.peer ?? null;
  }

  get session() {
    return this._leg?.session ?? null;
  }

  /** Ends it. */
  async stop() {
    const session = this.session;
    this._end();
    if (session) await this.#media.ask("media:stop", { session }).catch(() => {});
  }

  /** Of a publication everybody is shown it; of a subscription nothing is sent to us any more. */
  mute(muted = true, kind) {
    // The latest of each kind is the last, so that all of it can be said again.
    this.#muted.delete(kind);
    this.#muted.set(kind, muted);
    return this._ask("media:mute", { muted, kind });
  }

  stats() {
    return this.peer?.getStats() ?? Promise.resolve(new Map());
  }

  // What is wanted of it is wanted of the one that takes its place, too.
  _ask(event, data) {
    if (!this.session) return Promise.reject(closed());
    for (const leg of this.#legs.values()) if (leg !== this._leg) this._askOf(leg, event, data).catch(() => {});
    return this._askOf(this._leg, event, data);
  }

  _askOf({ session }, event, data) {
    return this.#media.ask(event, { session, ...data });
  }

  // All that was wanted so far. Requests of one session are handled in order.
  _wish(leg) {
    for (const [kind, muted] of this.#muted) this._askOf(leg, "media:mute", { muted, kind }).catch(() => {});
  }

  async _begin() {
    const leg = await this.#leg();
    if (this.ended) return this.#drop(leg);
    this.#take(leg);
  }

  // From here on it is the one that counts. What was told of it before follows when whoever waits for it listens.
  #take(leg) {
    this._leg = leg;
    this._began(leg);
    setTimeout(() => {
      const { early } = leg;
      leg.early = null;
      if (early && leg === this._leg) this.#heard(early);
    });
  }

  // A peer connection and its session at a relay.
  async #leg() {
    const Peer = this._options.RTCPeerConnection ?? globalThis.RTCPeerConnection;
    if (!Peer) throw new TypeError("there is no RTCPeerConnection here");
    const peer = new Peer({ iceServers: await this.#media.iceServers() });
    // `turn`: what is under way with its descriptions; `early`: the latest that was said of it before it counted.
    const leg = { peer, session: null, candidates: [], turn: Promise.resolve(), early: null, isMending: false, isResuming: false };
    peer.onicecandidate = ({ candidate }) => this.#found(leg, candidate);
    peer.onconnectionstatechange = () => peer.connectionState === "failed" && this.#mend(leg);
    try {
      await this._open(leg, (event, data) => this.#media.ask(event, data));
    } catch (error) {
      this.#drop(leg);
      throw error;
    }
    return leg;
  }

  _named(leg, session) {
    leg.session = session;
    this.#legs.set(session, leg);
    this.#media.keep(session, this);
    for (const candidate of leg.candidates.splice(0)) this.#found(leg, candidate);
  }

  #found(leg, candidate) {
    if (leg.session === null) return void leg.candidates.push(candidate);
    const told = candidate ? (candidate.toJSON?.() ?? candidate) : null;
    this.#media.ask("media:candidate", { session: leg.session, candidate: told }).catch(() => {});
  }

  // One description after the other: an answer belongs to the offer before it.
  #inTurn(leg, work) {
    const turn = leg.turn.then(work);
    leg.turn = turn.catch(() => {});
    return turn;
  }

  _describe(leg, { type, sdp }) {
    return this.#inTurn(leg, async () => {
      await leg.peer.setRemoteDescription({ type, sdp });
      if (type !== "offer") return;
      await leg.peer.setLocalDescription();
      await this.#media.ask("media:answer", { session: leg.session, sdp: leg.peer.localDescription.sdp });
    });
  }

  // The path is gone. Another one is looked for until there is one, or the session is known to be over.
  async #mend(leg) {
    if (leg.isMending) return;
    leg.isMending = true;
    const isBroken = () => leg === this._leg && !this.#next && leg.peer.connectionState === "failed";
    for (let pauseMs = AGAIN_FIRST_MS; isBroken(); pauseMs = Math.min(2 * pauseMs, AGAIN_MAX_MS)) {
      try {
        await this.#inTurn(leg, () => this.#restart(leg));
        break;
      } catch (error) {
        if (!isBroken()) break;
        if (error instanceof TurnpikeError && !error.retryable) this.#lose(error);
        else await new Promise((wake) => setTimeout(wake, error.retryAfterMs ?? pauseMs));
      }
    }
    leg.isMending = false;
  }

  async #restart({ peer, session }) {
    peer.setConfiguration({ iceServers: await this.#media.iceServers() });
    await peer.setLocalDescription(await peer.createOffer({ iceRestart: true }));
    const answer = await this.#media.ask("media:restart", { session, sdp: peer.localDescription.sdp });
    await peer.setRemoteDescription({ type: answer.type, sdp: answer.sdp });
  }

  _offered(offer) {
    const leg = this.#legs.get(offer.session);
    if (leg) this._describe(leg, offer).catch((error) => this.#legs.has(leg.session) && this._emit("error", error));
  }

  _candidate(session, candidate) {
    const leg = this.#legs.get(session);
    if (leg) this.#inTurn(leg, () => leg.peer.addIceCandidate(candidate ?? undefined)).catch(() => {});
  }

  _told(told) {
    const leg = this.#legs.get(told.session);
    if (!leg) return;
    const counts = leg === this._leg;
    leg.early = counts ? null : told;
    if (counts) this.#heard(told);
  }

  #heard(told) {
    this.state = told;
    this._emit("state", told);
    if (told.state === "moving") this.#move();
    else if (told.state === "ended") this.#over(new TurnpikeError({ message: told.reason, ...told }));
  }

  // Those that only begin are kept as well.
  _resume() {
    for (const leg of [...this.#legs.values()]) this.#resume(leg);
  }

  async #resume(leg) {
    if (leg.isResuming) return;
    leg.isResuming = true;
    try {
      await this.#media.ask("media:resume", { session: leg.session });
      // What was wanted while nobody could be asked.
      this._wish(leg);
    } catch (error) {
      // A relay that does not answer will be asked again with the next session, or tell us.
      if (!error.retryable && leg === this._leg) this.#lose(error);
    } finally {
      leg.isResuming = false;
    }
  }

  // The session is not there any more, and another one may begin.
  #lose(error) {
    this.#over(new TurnpikeError({ ...error, retryable: true, message: error.message }));
  }

  // The relay leaves, and goes on until another one has begun: nobody sees anything of it.
  #move() {
    this.#next ??= this.#another().finally(() => {
      this.#next = null;
    });
  }

  #over(error) {
    if (!error.retryable || this.ended) return this._end(error);
    this.#move();
  }

  // As often as it makes sense.
  async #another() {
    for (let pauseMs = AGAIN_FIRST_MS; !this.ended; pauseMs = Math.min(2 * pauseMs, AGAIN_MAX_MS)) {
      try {
        const leg = await this.#leg();
        if (this.ended) return this.#drop(leg);
        this._wish(leg);
        const before = this._leg;
        await this._shown(leg);
        if (this.ended) return this.#drop(leg);
        this.#take(leg);
        if (before) this.#drop(before);
        return;
      } catch (error) {
        if (!(error instanceof TurnpikeError)) return this._end(error);
        if (!error.retryable && error.code !== NO_SUCH_STREAM) return this._end(error);
        await new Promise((wake) => setTimeout(wake, error.retryAfterMs ?? pauseMs));
      }
    }
  }

  #drop(leg) {
    leg.peer.onicecandidate = leg.peer.onconnectionstatechange = leg.peer.ontrack = null;
    leg.peer.close();
    if (leg.session === null) return;
    this.#forget(leg);
    this.#media.ask("media:stop", { session: leg.session }).catch(() => {});
  }

  #forget({ session }) {
    this.#legs.delete(session);
    this.#media.forget(session);
  }

  _end(error) {
    if (this.ended) return;
    this.ended = true;
    const leg = this._leg;
    this._leg = null;
    if (leg) {
      leg.peer.close();
      this.#forget(leg);
    }
    this._emit("ended", error);
  }

  async _shown() {}
}

export class Publication extends Session {
  #tracks;

  constructor(media, stream, source, options) {
    super(media, stream, options);
    this.source = source;
    this.#tracks = new Map(source.getTracks().map((track) => [track.kind, track]));
  }

  /** Another camera, or the screen, in place of what is sent; viewers keep watching. */
  async replaceTrack(track) {
    const sender = this.peer?.getSenders().find((sender) => sender.track?.kind === track.kind);
    if (!sender) throw new TypeError(`no ${track.kind} is sent`);
    await sender.replaceTrack(track);
    this.#tracks.set(track.kind, track);
  }

  async _open(leg, ask) {
    for (const track of this.#tracks.values()) {
      const isLayered = this._options.simulcast && track.kind === "video";
      const encodings = isLayered ? (Array.isArray(this._options.simulcast) ? this._options.simulcast : SIMULCAST) : undefined;
      leg.peer.addTransceiver(track, { direction: "sendonly", streams: [this.source], ...(encodings && { sendEncodings: encodings }) });
    }
    await leg.peer.setLocalDescription();
    const answer = await ask("media:publish", { stream: this.stream, sdp: leg.peer.localDescription.sdp });
    this._named(leg, answer.session);
    await this._describe(leg, answer);
  }

  // What was replaced while it began.
  _began(leg) {
    for (const sender of leg.peer.getSenders()) {
      const track = this.#tracks.get(sender.track?.kind);
      if (track && track !== sender.track) sender.replaceTrack(track).catch(() => {});
    }
  }
}

/** Events besides: `media` with the MediaStream to show; another one when a relay left. */
export class Subscription extends Session {
  media = null;

  /** What we want of it: `{ quality }`, `{ width, height }`, `{ rid }`...; `{}` leaves it to the relay. */
  layer(wanted = {}) {
    this._wanted = wanted;
    return this._ask("media:layer", wanted);
  }

  async _open(leg, ask) {
    leg.arrived = new Promise((resolve) => {
      leg.peer.ontrack = ({ streams, track }) => {
        leg.media ??= streams[0] ?? new MediaStream();
        if (!leg.media.getTracks().includes(track)) leg.media.addTrack(track);
        if (leg === this._leg && this.media !== leg.media) this._began(leg);
        resolve(leg.media);
      };
    });
    const offer = await ask("media:subscribe", { stream: this.stream });
    this._named(leg, offer.session);
    await this._describe(leg, offer);
  }

  _wish(leg) {
    super._wish(leg);
    if (this._wanted) this._askOf(leg, "media:layer", this._wanted).catch(() => {});
  }

  _began(leg) {
    if (!leg.media) return;
    this.media = leg.media;
    this._emit("media", leg.media);
  }

  // Until something of it can be shown, there is something better to see: what comes from the relay that leaves.
  async _shown(leg) {
    if (!this.media || !globalThis.document) return;
    const within = new Promise((resolve) => setTimeout(resolve, SHOWN_WITHIN_MS));
    const media = await Promise.race([leg.arrived, within]);
    if (!media) return;
    const element = Object.assign(document.createElement("video"), { srcObject: media, muted: true, autoplay: true });
    await Promise.race([new Promise((resolve) => { element.onloadeddata = resolve; }), within]);
    element.srcObject = null;
  }
}

