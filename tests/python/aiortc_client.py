"""aiortc publishes by WHIP and watches by WHEP. Each step prints one line with what it saw; a step that fails says why."""

import argparse
import asyncio
import fractions
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request

import av
from aiortc import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpsender import RTCRtpSender

WIDTH, HEIGHT = 320, 240
RATE = 48_000
TONE_HZ = 440
# What takes longer is broken.
PATIENCE_S = 30


class Picture(VideoStreamTrack):
    """Bright on its left half, dark on its right: whoever decodes something else sees it."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        luma, blue, red = frame.planes
        row = bytes([200]) * (WIDTH // 2) + bytes([40]) * (luma.line_size - WIDTH // 2)
        luma.update(row * HEIGHT)
        for plane in (blue, red):
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    def __init__(self):
        super().__init__()
        self.begun, self.at = None, 0

    async def recv(self):
        samples = RATE // 50
        if self.begun is None:
            self.begun = time.time()
        await asyncio.sleep(max(0, self.begun + self.at / RATE - time.time()))
        wave = bytearray()
        for index in range(self.at, self.at + samples):
            value = int(12_000 * math.sin(2 * math.pi * TONE_HZ * index / RATE))
            wave += value.to_bytes(2, "little", signed=True)
        frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
        frame.planes[0].update(bytes(wave))
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.at, fractions.Fraction(1, RATE)
        self.at += samples
        return frame


def ask(method, url, token, body=None):
    headers = {"Authorization": f"Bearer {token}"}
    if body is not None:
        headers["Content-Type"] = "application/sdp"
    data = None if body is None else body.encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


async def begin(peer, url, token):
    """Where the session is."""
    await peer.setLocalDescription(await peer.createOffer())
    status, headers, body = await asyncio.to_thread(ask, "POST", url, token, peer.localDescription.sdp)
    if status != 201:
        raise RuntimeError(f"{url}: {status} {body}")
    await peer.setRemoteDescription(RTCSessionDescription(sdp=body, type="answer"))
    return urllib.parse.urljoin(url, headers["Location"])


async def end(peer, session, token):
    status, _, _ = await asyncio.to_thread(ask, "DELETE", session, token)
    await peer.close()
    return status


async def publish(options, stream, codec):
    peer = RTCPeerConnection()
    peer.addTrack(Tone())
    video = peer.addTransceiver(Picture(), direction="sendonly")
    kinds = RTCRtpSender.getCapabilities("video").codecs
    wanted = [kind for kind in kinds if kind.mimeType == f"video/{codec}"]
    video.setCodecPreferences(wanted + [kind for kind in kinds if kind.name == "rtx"])
    return peer, await begin(peer, f"{options.url}/whip/{stream}", options.publisher)


async def watch(options, stream):
    peer = RTCPeerConnection()
    tracks = {}
    peer.on("track", lambda track: tracks.__setitem__(track.kind, track))
    peer.addTransceiver("audio", direction="recvonly")
    peer.addTransceiver("video", direction="recvonly")
    session = await begin(peer, f"{options.url}/whep/{stream}", options.viewer)
    return peer, session, tracks


async def see(track, wanted):
    """So many frames, decoded, and how bright both halves of the last one are."""
    for _ in range(wanted):
        frame = await track.recv()
    luma = bytes(frame.planes[0])
    line = frame.planes[0].line_size
    middle = luma[line * (frame.height // 2):][:frame.width]
    half = frame.width // 2
    left, right = middle[8:half - 8], middle[half + 8:-8]
    return {
        "frames": wanted, "width": frame.width, "height": frame.height,
        "left": sum(left) // len(left), "right": sum(right) // len(right),
    }


async def hear(track, wanted):
    """So many frames, and how loud the last ones are, and how often they go through nought in a second."""
    loudest, crossings, samples = 0, 0, 0
    for index in range(wanted):
        frame = await track.recv()
        if index < wanted // 2:
            continue
        channels = len(frame.layout.channels)
        data = memoryview(bytes(frame.planes[0])[:frame.samples * channels * 2]).cast("h")[::channels]
        loudest = max(loudest, max(abs(value) for value in data))
        crossings += sum((one < 0) != (other < 0) for one, other in zip(data, data[1:]))
        samples += frame.samples
    return {"heard": wanted, "loudest": loudest, "tone_hz": round(crossings * frame.sample_rate / samples / 2)}


async def step(options, codec):
    stream = f"live:aiortc-{codec.lower()}"
    publisher, publishing = await publish(options, stream, codec)
    viewer, watching, tracks = await watch(options, stream)
    seen, heard = await asyncio.wait_for(
        asyncio.gather(see(tracks["video"], 40), hear(tracks["audio"], 60)), PATIENCE_S)
    statuses = [await end(viewer, watching, options.viewer), await end(publisher, publishing, options.publisher)]
    return {**seen, **heard, "ended": statuses}


async def main():
    parser = argparse.ArgumentParser()
    for name in ("url", "publisher", "viewer"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    for codec in ("VP8", "H264"):
        try:
            line = {"step": codec, **await step(options, codec)}
        except (Exception, MediaStreamError) as error:
            line = {"step": codec, "fault": f"{type(error).__name__}: {error}"}
        print(json.dumps(line), flush=True)


asyncio.run(main())
