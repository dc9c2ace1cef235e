// What runs in the page, beside media-page.js: publishing and watching from networks that let little through.

/// The gateway's event has the servers in the form that a browser takes.
async function publishByTurn(name, url, token, stream, iceTransportPolicy) {
  const { ice_servers: iceServers } = await enter(name, url, token);
  const peer = peers.get(name);
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers, iceTransportPolicy });
  peer.pc = pc;
  peer.stream = await camera();
  for (const track of peer.stream.getTracks()) pc.addTransceiver(track, { direction: "sendonly", streams: [peer.stream] });
  await pc.setLocalDescription();
  const { session, sdp } = await ask(peer.socket, "media:publish", { stream, sdp: pc.localDescription.sdp });
  trickle(pc, peer.socket, session);
  await pc.setRemoteDescription({ type: "answer", sdp });
  await connected(pc);
  return iceServers;
}

/// `<turn:...>; rel="ice-server"; username="..."; credential="..."; credential-type="password"`
function iceServersOf(link) {
  return link.split(/,\s*(?=<)/).filter((part) => part.includes('rel="ice-server"')).map((part) => {
    const value = (name) => part.match(new RegExp(`; ${name}="([^"]*)"`))?.[1];
    return { urls: part.match(/<([^>]*)>/)[1], username: value("username"), credential: value("credential") };
  });
}

/// The answer names the servers, so candidates are looked for when it is there.
async function watchByTurn(name, url, token, iceTransportPolicy) {
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceTransportPolicy });
  const element = document.createElement("video");
  element.autoplay = true;
  element.srcObject = new MediaStream();
  document.body.append(element);
  peers.set(name, { pc, element });
  pc.addEventListener("track", ({ track }) => element.srcObject.addTrack(track));
  for (const kind of ["audio", "video"]) pc.addTransceiver(kind, { direction: "recvonly" });
  const offer = await pc.createOffer();
  const response = await request(url, "POST", token, "application/sdp", offer.sdp);
  const sdp = await response.text();
  if (response.status !== 201) throw new Error(`${name}: ${response.status} ${sdp}`);
  const iceServers = iceServersOf(response.headers.get("link"));
  pc.setConfiguration({ bundlePolicy: "max-bundle", iceTransportPolicy, iceServers });
  await pc.setLocalDescription(offer);
  await pc.setRemoteDescription({ type: "answer", sdp });
  await connected(pc);
  return iceServers;
}

/// How this peer's media goes.
async function route(name) {
  const reports = [...(await peers.get(name).pc.getStats()).values()];
  const transport = reports.find(({ type }) => type === "transport");
  const pair = reports.find(({ id }) => id === transport.selectedCandidatePairId);
  const local = ({ localCandidateId }) => reports.find(({ id }) => id === localCandidateId);
  const { candidateType, protocol, relayProtocol } = local(pair);
  const working = reports.filter(({ type, state }) => type === "candidate-pair" && state === "succeeded");
  return { candidateType, protocol, relayProtocol, direct: working.some((other) => local(other)?.candidateType !== "relay") };
}

/// What candidates these servers give, and what they refuse.
async function gather(iceServers) {
  const pc = new RTCPeerConnection({ iceServers, iceTransportPolicy: "relay" });
  const [candidates, errors] = [[], []];
  pc.addEventListener("icecandidate", ({ candidate }) => candidate?.candidate && candidates.push(candidate.type));
  pc.addEventListener("icecandidateerror", ({ errorCode }) => errors.push(errorCode));
  pc.createDataChannel("any");
  await pc.setLocalDescription();
  await until("everything was tried", () => pc.iceGatheringState === "complete");
  pc.close();
  return { candidates, errors };
}

Object.assign(window, { publishByTurn, watchByTurn, route, gather });
