// Live video on the page: what is on, going live, and watching.

import { make } from "./dom.js";

const LIST_EVERY_MS = 3_000;
const STATS_EVERY_MS = 1_000;
const TEST_SIZE = [1280, 720];
const WAITING = "Waiting for the picture…";

/** Where the pictures come from. Each gives a MediaStream, and what ends it. */
const SOURCES = {
  async camera() {
    return navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 } }, audio: true });
  },
  async screen() {
    return navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 30 }, audio: true });
  },
  async test() {
    return testPicture();
  },
};

/** A clock over moving colours, and a quiet tone: no camera is needed to try it. */
function testPicture() {
  const canvas = make("canvas");
  [canvas.width, canvas.height] = TEST_SIZE;
  const paint = canvas.getContext("2d");
  const draw = () => {
    const [width, height] = TEST_SIZE;
    const turn = Date.now() / 40;
    for (let bar = 0; bar < 8; bar++) {
      paint.fillStyle = `hsl(${(turn + bar * 45) % 360} 70% ${35 + bar * 3}%)`;
      paint.fillRect((bar * width) / 8, 0, width / 8 + 1, height);
    }
    paint.fillStyle = "rgb(0 0 0 / 55%)";
    paint.fillRect(0, height / 2 - 90, width, 180);
    paint.fillStyle = "white";
    paint.textAlign = "center";
    paint.font = "700 110px ui-monospace, monospace";
    paint.fillText(new Date().toISOString().slice(11, 23), width / 2, height / 2 + 38);
    paint.fillRect(width / 2 + Math.cos(turn / 20) * 500 - 20, height - 100 + Math.sin(turn / 10) * 40, 40, 40);
  };
  draw();
  const timer = setInterval(draw, 33);
  const media = canvas.captureStream(30);
  const sound = new AudioContext();
  const [tone, volume, out] = [sound.createOscillator(), sound.createGain(), sound.createMediaStreamDestination()];
  volume.gain.value = 0.03;
  tone.connect(volume).connect(out);
  tone.start();
  media.addTrack(out.stream.getAudioTracks()[0]);
  media.getVideoTracks()[0].addEventListener("ended", () => clearInterval(timer));
  media.end = () => {
    clearInterval(timer);
    sound.close();
  };
  return media;
}

/** What is on, from the gateway, as long as somebody looks. */
export class Streams {
  #timer = 0;
  #looks = 0;
  #shown = 0;
  list = [];

  /** Until `signal` says so. */
  constructor(changed, signal) {
    this.changed = changed;
    document.addEventListener("visibilitychange", () => document.hidden || this.look(), { signal });
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
    this.signal = signal;
  }

  async look() {
    clearTimeout(this.#timer);
    if (!document.hidden) {
      const look = ++this.#looks;
      try {
        const response = await fetch("/dev/streams");
        const streams = response.ok ? (await response.json()).streams : this.list;
        // What was asked before, and is answered after what was asked later, is old.
        if (look > this.#shown) [this.#shown, this.list] = [look, streams];
        this.changed();
      } catch {
        // The next look may find it.
      }
    }
    clearTimeout(this.#timer);
    if (!this.signal.aborted) this.#timer = setTimeout(() => this.look(), LIST_EVERY_MS);
  }
}

/** One's own stream, with a small picture of it. */
export class OnAir {
  #isBeginning = false;

  constructor(client, stream, changed) {
    Object.assign(this, { client, stream, changed, publication: null, media: null, muted: false, recording: false });
    this.preview = make("video", "preview", "", { muted: true, autoplay: true, playsInline: true, ariaLabel: "What you send" });
  }

  async begin(kind) {
    // Who presses twice goes live once.
    if (this.#isBeginning || this.publication) return;
    this.#isBeginning = true;
    try {
      this.media = await SOURCES[kind]();
      this.preview.srcObject = this.media;
      this.publication = await this.client.publish(this.stream, this.media, { simulcast: kind !== "screen" });
    } catch (error) {
      this.#release();
      throw error;
    } finally {
      this.#isBeginning = false;
    }
    // The browser's own "stop sharing".
    for (const track of this.media.getTracks()) {
      track.addEventListener("ended", () => this.end());
      if (track.readyState === "ended") this.end();
    }
    this.publication.on("state", (state) => {
      this.recording = state.recording === true;
      this.changed();
    });
    this.publication.on("ended", () => this.#release());
    this.changed();
  }

  get viewers() {
    return this.publication?.state?.viewers ?? 0;
  }

  async mute() {
    this.muted = !this.muted;
    for (const track of this.media.getAudioTracks()) track.enabled = !this.muted;
    await this.publication.mute(this.muted, "audio").catch(() => {});
    this.changed();
  }

  async record() {
    await this.client.record(this.stream, !this.recording);
  }

  async end() {
    await this.publication?.stop();
    this.#release();
  }

  #release() {
    for (const track of this.media?.getTracks() ?? []) track.stop();
    this.media?.end?.();
    this.media = null;
    this.publication = null;
    this.preview.srcObject = null;
    this.changed();
  }
}

/** Somebody's stream: the picture, what of it is wanted, and how it comes. */
export class Watch {
  #last = null;
  #timer = 0;
  #isOver = false;

  /** `closed` is told whether somebody was in it by keyboard. */
  constructor(client, stream, closed) {
    Object.assign(this, { client, stream, closed, subscription: null });
    this.video = make("video", "", "", { autoplay: true, playsInline: true, muted: true });
    this.note = make("p", "stage-note", WAITING, { role: "status" });
    this.viewers = make("span", "badge");
    this.figures = make("span", "figures");
    this.sound = make("button", "", "Sound on", { type: "button" });
    this.quality = make("select", "", "", { ariaLabel: "Quality" });
    for (const [value, words] of [["auto", "Auto"], ["high", "High"], ["medium", "Medium"], ["low", "Low"], ["off", "No picture"]]) {
      this.quality.append(make("option", "", words, { value }));
    }
    const full = make("button", "", "Full screen", { type: "button" });
    const close = make("button", "", "Stop watching", { type: "button" });
    this.element = make("section", "stage", [
      make("div", "screen", [this.video, this.note]),
      make("div", "stage-bar", [make("strong", "", stream), this.viewers, this.figures, make("span", "space"), this.quality, this.sound, full, close]),
    ], { ariaLabel: `Watching ${stream}`, tabIndex: -1 });
    this.sound.addEventListener("click", () => this.#toggleSound());
    this.quality.addEventListener("change", () => this.subscription?.layer({ quality: this.quality.value }).catch(() => {}));
    full.addEventListener("click", () => this.video.requestFullscreen?.().catch(() => {}));
    close.addEventListener("click", () => this.end());
  }

  async begin() {
    try {
      this.subscription = await this.client.subscribe(this.stream);
    } catch (error) {
      this.note.textContent = error.code === 120 ? "Nobody is live here right now." : error.message;
      return;
    }
    if (this.#isOver) return void this.subscription.stop();
    const show = (media) => (this.video.srcObject = media);
    if (this.subscription.media) show(this.subscription.media);
    this.subscription.on("media", show);
    this.video.addEventListener("playing", () => this.note.textContent === WAITING && this.#say(""));
    // Chosen before there was anything of which it could be asked.
    if (this.quality.value !== "auto") this.subscription.layer({ quality: this.quality.value }).catch(() => {});
    this.subscription.on("state", ({ state, viewers, tracks = [], recording }) => {
      this.viewers.textContent = `${viewers} watching${recording ? " · ● recorded" : ""}`;
      const isMuted = tracks.some(({ kind, muted }) => kind === "audio" && muted);
      if (state === "paused") this.#say("The publisher is away. It goes on when they are back.");
      else if (state === "live") this.#say(isMuted ? "The publisher's sound is off." : "");
    });
    this.subscription.on("ended", (error) => {
      clearInterval(this.#timer);
      if (error) this.#say(`It is over: ${error.message}`);
    });
    this.#timer = setInterval(() => this.#measure(), STATS_EVERY_MS);
  }

  async end() {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#timer);
    this.video.srcObject = null;
    const wasThere = this.element.contains(document.activeElement);
    this.element.remove();
    this.closed(wasThere);
    await this.subscription?.stop();
  }

  #say(words) {
    this.note.textContent = words;
    this.note.hidden = words === "";
  }

  #toggleSound() {
    this.video.muted = !this.video.muted;
    this.sound.textContent = this.video.muted ? "Sound on" : "Sound off";
  }

  async #measure() {
    for (const report of (await this.subscription.stats()).values()) {
      if (report.type !== "inbound-rtp" || report.kind !== "video") continue;
      const { timestamp, bytesReceived, packetsLost = 0, packetsReceived = 0, frameWidth, frameHeight, framesPerSecond = 0 } = report;
      if (this.#last && frameWidth) {
        const kbits = Math.round(((bytesReceived - this.#last.bytesReceived) * 8) / (timestamp - this.#last.timestamp));
        const lost = packetsReceived > 0 ? ((100 * packetsLost) / (packetsReceived + packetsLost)).toFixed(1) : "0.0";
        this.figures.textContent = `${frameWidth}×${frameHeight} · ${framesPerSecond} fps · ${kbits} kbit/s · ${lost} % lost`;
      }
      this.#last = { timestamp, bytesReceived };
    }
  }
}
