// JWTs as a backend would sign them, and as one should not.

import { createHmac } from "node:crypto";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
export const seconds = () => Math.floor(Date.now() / 1000);

export function token(claims, { secret = process.env.SUITE_SECRET, algorithm = "HS256" } = {}) {
  const signed = `${part({ alg: algorithm, typ: "JWT" })}.${part({ exp: seconds() + 600, ...claims })}`;
  const hash = { HS256: "sha256", HS512: "sha512" }[algorithm];
  return `${signed}.${hash ? createHmac(hash, secret).update(signed).digest("base64url") : ""}`;
}
