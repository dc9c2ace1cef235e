// A browser publishes a stream, and it is recorded: for a backend over HTTP, or with `--by=event` for a client over its
// connection. Prints a line when the recording has begun, and when it has ended; without `--ms` it goes on until whoever
// started this ends it.

import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" }, publisher: { type: "string" }, recorder: { type: "string" },
    by: { type: "string", default: "http" },
    codec: { type: "string" }, stream: { type: "string" }, ms: { type: "string" },
  },
});
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const overHttp = async (on) => {
  const headers = { authorization: `Bearer ${options.recorder}` };
  const path = `/api/v1/streams/${encodeURIComponent(options.stream)}/recording`;
  const response = await fetch(options.url + path, { method: on ? "POST" : "DELETE", headers });
  return { status: response.status, ...(await response.json()) };
};

const chromium = await browser();
try {
  const page = await chromium.page();
  const { url, stream, publisher, recorder, codec, by } = options;
  const byEvent = (on) => page.evaluate(async ([n, data]) => {
    const answer = await peers.get(n).socket.timeout(30_000).emitWithAck("media:record", data);
    return { status: answer.ok ? 200 : { 120: 404 }[answer.error.code], ...answer };
  }, ["recorder", { stream, on }]);
  if (by === "event") await page.evaluate(([n, u, t]) => enter(n, u, t), ["recorder", url, recorder]);
  const record = by === "event" ? byEvent : overHttp;
  // What somebody in the stream is told.
  const shown = (on) => page.evaluate(([n, on]) => until(`it is shown: ${on}`, () => state(n) && (state(n).recording ?? false) === on), ["viewer", on]);

  const early = (await record(true)).status;
  await page.evaluate(([n, u, t, h]) => whipPublish(n, u, t, h), [stream, `${url}/whip/${stream}`, publisher, { codec, width: 640, height: 360 }]);
  await page.evaluate((n) => until("it is sent", async () => (await figures(n)).video?.framesSent > 30), stream);
  await page.evaluate(([n, u, t, s]) => watch(n, u, t, s), ["viewer", url, recorder, stream]);
  const sent = await page.evaluate(async (n) => (await figures(n)).video, stream);
  const [{ status, recording }, again] = [await record(true), await record(true)];
  await shown(true);
  // A recording begins with a whole picture, which an encoder on a busy machine takes its time for.
  await page.evaluate(([n, sent]) => until("a whole picture is sent", async () => (await figures(n)).video.keyFramesEncoded > sent.keyFramesEncoded), [stream, sent]);
  tell({ early, status, recording, again: again.status, same: again.recording === recording });
  await new Promise((resolve) => {
    setTimeout(resolve, Number(options.ms ?? 60_000)).unref();
    process.once("SIGTERM", resolve);
  });
  if (options.ms) {
    await page.evaluate(([n, sent]) => until("what follows it is sent", async () => (await figures(n)).video.framesSent > sent.framesSent + 30), [stream, sent]);
  }
  const { status: ended, recording: name } = await record(false);
  await shown(false);
  tell({ status: ended, again: (await record(false)).status, same: name === recording });
} catch (error) {
  tell({ fault: String(error?.message ?? error) });
}
await chromium.close();
