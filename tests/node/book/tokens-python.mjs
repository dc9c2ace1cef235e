// In the environment of the tests, with a key of its own; Node says whether the signature holds.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, verify } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

if (existsSync(process.env.PYTHON)) {
  const folder = mkdtempSync(join(tmpdir(), "turnpike-tokens-"));
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  writeFileSync(join(folder, "private.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
  const token = execFileSync(process.env.PYTHON, ["-c", `${process.env.BLOCK}\nprint(token)`], { cwd: folder, encoding: "utf8" }).trim();
  rmSync(folder, { recursive: true });
  const [head, body, signature] = token.split(".");
  assert.equal(JSON.parse(Buffer.from(body, "base64url")).sub, "alice");
  assert(verify(null, Buffer.from(`${head}.${body}`), publicKey, Buffer.from(signature, "base64url")));
} else {
  console.log("skipped: there is no environment of Python");
}
