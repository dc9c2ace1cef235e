// What this run is about: which server, which way in, which parser; and what is known to differ there.

import { readFileSync } from "node:fs";
import { test } from "node:test";

const environment = (name) => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: these tests are started by the Rust harness (tests/it)`);
  return value;
};

export const url = environment("SUITE_URL");
export const server = environment("SUITE_SERVER");
export const mode = environment("SUITE_MODE"); // polling | websocket | upgrade
export const parser = environment("SUITE_PARSER"); // default | msgpack
export const deflate = environment("SUITE_DEFLATE") === "on";

const deviations = JSON.parse(readFileSync(new URL("../../deviations.json", import.meta.url)))[server] ?? {};

/// Registers one test. Where the table of deviations knows it for this server it is skipped,
/// has to fail (the server deviates: when it stops doing so the table is out of date), or may do either (varies).
export function feature(name, options, body = options) {
  const deviation = find(name);
  const limits = { timeout: 30_000, ...(typeof options === "object" ? options : {}) };
  if (deviation?.kind === "skip") return test(name, { skip: deviation.reason }, () => {});
  if (deviation === undefined) return test(name, limits, body);
  return test(`${name} (known to differ)`, limits, async (t) => {
    try {
      await body(t);
    } catch (error) {
      t.diagnostic(`as recorded: ${deviation.reason}: ${error.message}`);
      return;
    }
    if (deviation.kind === "deviates") throw new Error(`no longer deviates, take it out of deviations.json: ${name}`);
  });
}

function find(name) {
  const deviation = deviations[name];
  if (deviation?.only === undefined) return deviation;
  return deviation.only.every((word) => [mode, parser, deflate ? "deflate" : "plain"].includes(word)) ? deviation : undefined;
}
