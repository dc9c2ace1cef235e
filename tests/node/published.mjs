// The client as a package: its types say what it has, and what it needs is in it. Prints one line.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import path from "node:path";
import typescript from "typescript";
import * as plain from "../../web/turnpike.js";
import * as official from "../../web/socketio.js";

const home = fileURLToPath(new URL("../../web/", import.meta.url));

/** Exported names of a declaration file, and the members of its classes. */
function declared(name) {
  const file = typescript.createSourceFile(name, readFileSync(path.join(home, name), "utf8"), typescript.ScriptTarget.Latest, true);
  const values = [];
  let members = [];
  for (const statement of file.statements) {
    const isClass = typescript.isClassDeclaration(statement);
    if (isClass || typescript.isFunctionDeclaration(statement)) values.push(statement.name.text);
    if (isClass && statement.name.text === "Client") members = statement.members.map((member) => member.name?.text).filter(Boolean);
  }
  return { values: values.sort(), members: [...new Set(members)].sort() };
}

const inherited = ["on", "off", "once"];
const own = Object.getOwnPropertyNames(plain.Client.prototype).filter((name) => name !== "constructor" && !name.startsWith("_"));
const packed = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: home, stdio: ["ignore", "pipe", "ignore"] }));
const files = new Set(packed[0].files.map((file) => file.path));
const missing = [];
for (const file of files) {
  if (!file.endsWith(".js")) continue;
  for (const [, name] of readFileSync(path.join(home, file), "utf8").matchAll(/from "(\.[^"]+)"/g)) {
    const needed = path.posix.join(path.posix.dirname(file), name);
    if (!files.has(needed)) missing.push(`${needed}, for ${file}`);
  }
}
const types = declared("turnpike.d.ts");
const line = {
  exports: [types.values, Object.keys(plain).sort()],
  members: [types.members, [...own, ...inherited].sort()],
  official: [["Client", ...declared("socketio.d.ts").values, "TurnpikeError"].sort(), Object.keys(official).sort()],
  files: files.size,
  missing,
  licences: ["LICENSE-MIT", "LICENSE-APACHE"].filter((name) => files.has(name) && readFileSync(path.join(home, name), "utf8") === readFileSync(path.join(home, "..", name), "utf8")),
};
process.stdout.write(`${JSON.stringify(line)}\n`);
