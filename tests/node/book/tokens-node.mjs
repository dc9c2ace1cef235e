// HS256 opens the running system; the others are looked at by Node's own cryptography.
import assert from "node:assert/strict";
import { generateKeyPairSync, verify } from "node:crypto";
import { io } from "socket.io-client";

// block 1

const claims = { sub: "alice", rooms: [{ match: "chat:*", can: ["join", "send"] }] };
const socket = io(process.env.GATEWAY, { auth: { token: makeToken(claims, { alg: "HS256", key: process.env.JWT_SECRET }) }, forceNew: true });
const { user } = await new Promise((done, failed) => socket.on("session", done).on("connect_error", failed));
assert.equal(user, "alice");
socket.close();

const kinds = { EdDSA: ["ed25519"], ES256: ["ec", { namedCurve: "P-256" }], RS256: ["rsa", { modulusLength: 2048 }] };
for (const [alg, [kind, options]] of Object.entries(kinds)) {
  const { privateKey, publicKey } = generateKeyPairSync(kind, options);
  const token = makeToken(claims, { alg, key: privateKey.export({ type: "pkcs8", format: "pem" }), kid: "2026-01" });
  const [head, body, signature] = token.split(".");
  assert.equal(JSON.parse(Buffer.from(head, "base64url")).kid, "2026-01");
  const key = alg === "ES256" ? { key: publicKey, dsaEncoding: "ieee-p1363" } : publicKey;
  assert(verify(alg === "EdDSA" ? null : "sha256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url")), alg);
}
