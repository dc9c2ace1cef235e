// One line of JSON for each test that ended, for the Rust harness to read.

export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.details?.type === "suite") continue;
    const error = data.details?.error;
    const cause = error?.cause ?? error;
    yield JSON.stringify({
      name: data.name,
      passed: type === "test:pass",
      skipped: data.skip !== undefined,
      milliseconds: data.details?.duration_ms ?? 0,
      error: type === "test:fail" ? String(cause?.stack ?? cause) : undefined,
    }) + "\n";
  }
}
