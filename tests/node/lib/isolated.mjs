// A network in which nothing but some TCP ports of this machine can be reached: how a strict firewall looks from inside.
//
// The kernel's network namespaces make it, which a user without rights may have as well. A namespace shares the files, so
// each port is a unix socket on the way: a server here passes it on, and one inside listens at the same port.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const UNSHARE = ["unshare", "--user", "--map-root-user", "--net", "--"];
// Browsers leave out the loopback interface, and want one with an address of its own. It leads nowhere.
const INTERFACES = [
  "ip link set lo up", "ip link add out0 type veth peer name out1", "ip address add 192.0.2.2/24 dev out0",
  "ip link set out0 up", "ip link set out1 up", "ip route add default via 192.0.2.1",
].join(" && ");

function pass(from, to) {
  const server = createServer((socket) => {
    const other = connect(to);
    for (const [one, two] of [[socket, other], [other, socket]]) {
      one.pipe(two);
      one.on("error", () => two.destroy());
    }
  });
  return new Promise((resolve) => server.listen(from, () => resolve(server)));
}

/// Whether this machine lets us.
export async function possible() {
  const [program, ...args] = UNSHARE;
  const child = spawn(program, [...args, "sh", "-c", INTERFACES], { stdio: "ignore" });
  return new Promise((resolve) => child.on("close", (code) => resolve(code === 0)).on("error", () => resolve(false)));
}

/// Runs a script of Node there. Gives its exit code.
export async function run(script, args, ports) {
  const folder = await mkdtemp(join(tmpdir(), "turnpike-isolated-"));
  const servers = await Promise.all(ports.map((port) => pass({ path: join(folder, `${port}`) }, { host: "127.0.0.1", port })));
  const [program, ...first] = UNSHARE;
  const command = [...first, "sh", "-c", `${INTERFACES} && exec "$@"`, "sh", process.execPath, script, ...args, `--isolated=${folder}`];
  const child = spawn(program, command, { stdio: ["ignore", "inherit", "inherit"] });
  const code = await new Promise((resolve) => child.on("close", resolve));
  for (const server of servers) server.close();
  await rm(folder, { recursive: true, force: true });
  return code;
}

/// Inside: the ports are where they are outside.
export async function open(folder, ports) {
  await Promise.all(ports.map((port) => pass({ host: "127.0.0.1", port }, { path: join(folder, `${port}`) })));
}
