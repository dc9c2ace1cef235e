// What runs in the page: publishing and watching with nothing but what a browser brings, as the guide shows it.

const peers = new Map();
/// Reaching it means that something is broken, also where two browsers encode on two cores.
const BROKEN_MS = 30_000;

async function camera({ width = 640, height = 360, video = true, audio = true } = {}) {
  return navigator.mediaDevices.getUserMedia({ video: video && { width, height, frameRate: 30 }, audio });
}

function request(url, method, token, type, body, headers = {}) {
  return fetch(url, { method, body, headers: { ...headers, authorization: `Bearer ${token}`, ...(type && { "content-type": type }) } });
}

async function exchange(name, pc, url, token) {
  await pc.setLocalDescription(await pc.createOffer());
  const began = performance.now();
  const response = await request(url, "POST", token, "application/sdp", pc.localDescription.sdp);
  const sdp = await response.text();
  if (response.status !== 201) throw new Error(`${name}: ${response.status} ${sdp}`);
  const peer = peers.get(name);
  peer.resource = new URL(response.headers.get("location"), url).href;
  peer.etag = response.headers.get("etag");
  peer.answer = sdp;
  peer.began = began;
  await pc.setRemoteDescription({ type: "answer", sdp });
}

function connected(pc, limitMs = BROKEN_MS) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`still ${pc.connectionState}, ice ${pc.iceConnectionState}`)), limitMs);
    const look = () => {
      if (pc.connectionState === "connected") { clearTimeout(timer); resolve(); }
      if (pc.connectionState === "failed") { clearTimeout(timer); reject(new Error("failed")); }
    };
    pc.addEventListener("connectionstatechange", look);
    look();
  });
}

/// On a busy machine there are fewer pictures, and not smaller ones: layers are known by their sizes.
function keepSizes(sender) {
  return sender.setParameters({ ...sender.getParameters(), degradationPreference: "maintain-resolution" });
}

async function whipPublish(name, url, token, { codec, layers, ...size } = {}) {
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const stream = await camera(size);
  peers.set(name, { pc, stream });
  for (const track of stream.getTracks()) {
    const video = track.kind === "video";
    const sendEncodings = video && layers ? layers : undefined;
    const transceiver = pc.addTransceiver(track, { direction: "sendonly", streams: [stream], sendEncodings });
    if (sendEncodings) await keepSizes(transceiver.sender);
    if (video && codec) {
      const all = RTCRtpSender.getCapabilities("video").codecs;
      const first = all.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
      transceiver.setCodecPreferences([...first, ...all.filter(({ mimeType }) => /rtx/i.test(mimeType))]);
    }
  }
  await exchange(name, pc, url, token);
  await connected(pc);
}

async function whepWatch(name, url, token, { video = true, audio = true } = {}) {
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const element = document.createElement("video");
  element.muted = false;
  element.autoplay = true;
  document.body.append(element);
  const stream = new MediaStream();
  element.srcObject = stream;
  const peer = { pc, element, stream };
  peers.set(name, peer);
  pc.addEventListener("track", ({ track }) => stream.addTrack(track));
  if (audio) pc.addTransceiver("audio", { direction: "recvonly" });
  if (video) pc.addTransceiver("video", { direction: "recvonly" });
  const frame = new Promise((resolve) => element.requestVideoFrameCallback(() => resolve(performance.now())));
  await exchange(name, pc, url, token);
  await connected(pc);
  if (!video) return { first_frame_ms: null };
  const at = await Promise.race([frame, new Promise((_, reject) => setTimeout(() => reject(new Error(`${name}: no frame`)), BROKEN_MS))]);
  return { first_frame_ms: at - peer.began };
}

/// What a peer has received or sent so far, by kind.
async function figures(name) {
  const { pc } = peers.get(name);
  const found = { audio: {}, video: {}, layers: {} };
  for (const report of (await pc.getStats()).values()) {
    if (report.type === "inbound-rtp" || report.type === "outbound-rtp") {
      if (report.rid) found.layers[report.rid] = { width: report.frameWidth ?? 0, sent: report.bytesSent, active: report.active };
      Object.assign(found[report.kind], report);
    }
    if (report.type === "candidate-pair" && report.nominated) found.pair = report;
  }
  return JSON.parse(JSON.stringify(found));
}

async function until(what, check, limitMs = BROKEN_MS) {
  const end = performance.now() + limitMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/// Frames go on, and there is sound.
async function plays(name, { frames = 15, sound = true } = {}) {
  const before = await figures(name);
  return until(`${name} plays`, async () => {
    const { audio, video } = await figures(name);
    const moved = (video.framesDecoded ?? 0) - (before.video.framesDecoded ?? 0) >= frames;
    const heard = !sound || (audio.totalAudioEnergy ?? 0) > (before.audio.totalAudioEnergy ?? 0);
    return moved && heard && { frames: video.framesDecoded, freezes: video.freezeCount, width: video.frameWidth, codec: video.codecId };
  });
}

/// How far sound and picture are apart, by the clock of who publishes: the middle of many looks.
async function apart(name, looks = 21) {
  const { pc } = peers.get(name);
  const seen = [];
  await until(`${name} has both times`, async () => {
    const at = {};
    for (const report of (await pc.getStats()).values()) {
      if (report.type === "inbound-rtp" && report.estimatedPlayoutTimestamp) at[report.kind] = report.estimatedPlayoutTimestamp;
    }
    if (at.audio && at.video) seen.push(at.audio - at.video);
    return seen.length === looks;
  });
  return seen.sort((a, b) => a - b)[(looks - 1) / 2];
}

/// The same camera and microphone without anything between: what the browser itself adds.
async function direct(name) {
  const [from, pc] = [new RTCPeerConnection(), new RTCPeerConnection()];
  from.onicecandidate = ({ candidate }) => pc.addIceCandidate(candidate);
  pc.onicecandidate = ({ candidate }) => from.addIceCandidate(candidate);
  const element = document.createElement("video");
  element.autoplay = true;
  element.srcObject = new MediaStream();
  document.body.append(element);
  pc.ontrack = ({ track }) => element.srcObject.addTrack(track);
  const stream = await camera();
  for (const track of stream.getTracks()) from.addTrack(track, stream);
  await from.setLocalDescription();
  await pc.setRemoteDescription(from.localDescription);
  await pc.setLocalDescription();
  await from.setRemoteDescription(pc.localDescription);
  peers.set(name, { pc, from, stream, element });
  await connected(pc);
}

async function remove(name, token) {
  const { pc, resource, element, stream } = peers.get(name);
  const response = await request(resource, "DELETE", token);
  pc.close();
  element?.remove();
  stream?.getTracks().forEach((track) => track.stop());
  peers.delete(name);
  return response.status;
}

/// New ICE credentials for a session, over the network path as it is.
async function restart(name, token) {
  const peer = peers.get(name);
  await peer.pc.setLocalDescription(await peer.pc.createOffer({ iceRestart: true }));
  const line = (key) => peer.pc.localDescription.sdp.match(new RegExp(`a=${key}:.*`))[0];
  const mid = line("mid");
  const fragment = [line("ice-ufrag"), line("ice-pwd"), "m=audio 9 UDP/TLS/RTP/SAVPF 0", mid, ""].join("\r\n");
  const response = await request(peer.resource, "PATCH", token, "application/trickle-ice-sdpfrag", fragment, { "if-match": "*" });
  const answer = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${answer}`);
  const fresh = (key) => answer.match(new RegExp(`a=${key}:(.*)`))[1].trim();
  const sdp = peer.answer
    .replaceAll(/a=ice-ufrag:.*/g, `a=ice-ufrag:${fresh("ice-ufrag")}`)
    .replaceAll(/a=ice-pwd:.*/g, `a=ice-pwd:${fresh("ice-pwd")}`);
  await peer.pc.setRemoteDescription({ type: "answer", sdp });
  peer.answer = sdp;
  return { etag_changed: response.headers.get("etag") !== peer.etag };
}

Object.assign(window, { peers, whipPublish, whepWatch, figures, plays, apart, direct, remove, restart, until, camera, connected });

// The same over the gateway's events.

function enter(name, url, token) {
  const socket = io(url, { transports: ["websocket"], auth: { token }, forceNew: true });
  peers.set(name, { socket, states: [] });
  socket.on("media:state", (state) => peers.get(name).states.push(state));
  return new Promise((resolve, reject) => {
    socket.once("session", resolve);
    socket.once("connect_error", (error) => reject(new Error(error.message)));
  });
}

async function ask(socket, event, data) {
  const answer = await socket.timeout(BROKEN_MS).emitWithAck(event, data);
  if (!answer.ok) throw new Error(`${event}: ${JSON.stringify(answer.error)}`);
  return answer;
}

function trickle(pc, socket, session) {
  pc.addEventListener("icecandidate", ({ candidate }) => {
    socket.emit("media:candidate", { session, candidate: candidate?.candidate ? candidate.toJSON() : null }, () => {});
  });
}

async function publish(name, url, token, stream, { layers, ...size } = {}) {
  await enter(name, url, token);
  const peer = peers.get(name);
  peer.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  peer.stream = await camera(size);
  for (const track of peer.stream.getTracks()) {
    const sendEncodings = track.kind === "video" ? layers : undefined;
    const { sender } = peer.pc.addTransceiver(track, { direction: "sendonly", streams: [peer.stream], sendEncodings });
    if (sendEncodings) await keepSizes(sender);
  }
  await peer.pc.setLocalDescription(await peer.pc.createOffer());
  const { session, sdp } = await ask(peer.socket, "media:publish", { stream, sdp: peer.pc.localDescription.sdp });
  peer.session = session;
  trickle(peer.pc, peer.socket, session);
  await peer.pc.setRemoteDescription({ type: "answer", sdp });
  await connected(peer.pc);
}

async function watch(name, url, token, stream) {
  await enter(name, url, token);
  const peer = peers.get(name);
  const { pc, socket } = Object.assign(peer, { pc: new RTCPeerConnection({ bundlePolicy: "max-bundle" }), videos: [] });
  pc.addEventListener("track", ({ track }) => {
    const element = document.createElement("video");
    element.autoplay = true;
    element.srcObject = new MediaStream([track]);
    document.body.append(element);
    if (track.kind === "video") peer.videos.push(element);
  });
  const answer = async (session, sdp) => {
    await pc.setRemoteDescription({ type: "offer", sdp });
    await pc.setLocalDescription(await pc.createAnswer());
    await ask(socket, "media:answer", { session, sdp: pc.localDescription.sdp });
  };
  socket.on("media:offer", ({ session, sdp }) => { peer.offers = (peer.offers ?? 0) + 1; answer(session, sdp); });
  const { session, sdp } = await ask(socket, "media:subscribe", { stream });
  peer.session = session;
  await answer(session, sdp);
  trickle(pc, socket, session);
  await connected(pc);
}

const request_of = (name, event, data) => ask(peers.get(name).socket, event, { session: peers.get(name).session, ...data });
const state = (name) => peers.get(name).states.at(-1);

Object.assign(window, { enter, publish, watch, request_of, state });

// With the code of the guide, which goes on by itself.

const guests = new Map();

/// A socket that comes back by itself, and the guide's functions over it.
async function guest(name, url, token) {
  const socket = io(url, { transports: ["websocket"], auth: { token }, forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 200 });
  const states = [];
  socket.on("media:state", (state) => states.push(state));
  guests.set(name, { socket, states, ...guide(socket, () => token, () => {}) });
  await new Promise((resolve) => socket.once("session", resolve));
}

async function guest_publishes(name, url, token, stream) {
  await guest(name, url, token);
  return guests.get(name).publish(stream, await camera({ width: 320, height: 180 }));
}

/// Notes the longest time for which its picture stood still.
async function guest_watches(name, url, token, stream) {
  await guest(name, url, token);
  const known = guests.get(name);
  const element = Object.assign(document.createElement("video"), { autoplay: true, muted: true });
  document.body.append(element);
  Object.assign(known, { element, frames: 0, longest_ms: 0 });
  let last;
  const frame = (now) => {
    if (last !== undefined) known.longest_ms = Math.max(known.longest_ms, now - last);
    last = now;
    known.frames += 1;
    element.requestVideoFrameCallback(frame);
  };
  element.requestVideoFrameCallback(frame);
  return known.watch(stream, element);
}

const guest_sessions = (name) => [...guests.get(name).sessions.keys()];
const guest_states = (name) => guests.get(name).states.map(({ session, state, code }) => ({ session, state, code }));

/// Its picture moves. Gives how long it stood still at most since the last time this was asked.
async function guest_sees(name, frames = 15) {
  const known = guests.get(name);
  const before = known.frames;
  await until(`${name} sees ${frames} more frames`, () => known.frames >= before + frames);
  const longest_ms = Math.round(known.longest_ms);
  known.longest_ms = 0;
  return { longest_ms, sessions: known.sessions.size };
}

Object.assign(window, { guests, guest_publishes, guest_watches, guest_sessions, guest_states, guest_sees });
