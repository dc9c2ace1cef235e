// A browser publishes a stream, and a backend has it recorded. Prints a line when the recording has begun, and when it has
// ended; without `--ms` it goes on until whoever started this ends it.

import { parseArgs } from "node:util";
import { browser } from "./lib/browser.mjs";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" }, publisher: { type: "string" }, service: { type: "string" },
    codec: { type: "string" }, stream: { type: "string" }, ms: { type: "string" },
  },
});
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const record = async (method) => {
  const headers = { authorization: `Bearer ${options.service}` };
  const path = `/api/v1/streams/${encodeURIComponent(options.stream)}/recording`;
  return (await fetch(options.url + path, { method, headers })).status;
};

const chromium = await browser();
try {
  const page = await chromium.page();
  const { url, stream, publisher, codec } = options;
  const early = await record("POST");
  await page.evaluate(([n, u, t, h]) => whipPublish(n, u, t, h), [stream, `${url}/whip/${stream}`, publisher, { codec, width: 640, height: 360 }]);
  await page.evaluate((n) => until("it is sent", async () => (await figures(n)).video?.framesSent > 30), stream);
  tell({ early, status: await record("POST"), again: await record("POST") });
  await new Promise((resolve) => {
    setTimeout(resolve, Number(options.ms ?? 60_000)).unref();
    process.once("SIGTERM", resolve);
  });
  tell({ status: await record("DELETE"), again: await record("DELETE") });
} catch (error) {
  tell({ fault: String(error?.message ?? error) });
}
await chromium.close();
