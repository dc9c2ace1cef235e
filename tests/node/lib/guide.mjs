// The code that the guide for clients shows for live video, as a function of what it leaves to the page: it is run as it stands there.

import { readFile } from "node:fs/promises";

const GUIDE = new URL("../../../docs/clients.md", import.meta.url);

export async function guide() {
  const text = await readFile(GUIDE, "utf8");
  const [, live] = text.split("## Live video");
  const [, code] = live.split(/^```js$|^```$/m);
  return `function guide(socket, freshToken, show) {${code}return { publish, watch, sessions };\n}`;
}
