import assert from "node:assert/strict";

const handlers = {};
const app = { post: (path, handler) => { handlers[path] = handler; } };
const secret = "the gates' own";
const isGenuine = (headers, body, known) => headers.genuine && body === "raw" && known === secret;
const isRude = (body) => body === "rude";

// block 1

function asked(body, genuine = true) {
  let answer;
  const response = { status: (number) => ({ end: () => { answer = number; } }), json: (value) => { answer = value; } };
  handlers["/gate"]({ headers: { genuine }, rawBody: "raw", body }, response);
  return answer;
}
assert.deepEqual(asked({ gate: "join", user: "ann", room: "chat:lobby" }), { allow: true });
assert.deepEqual(asked({ gate: "send", message: { body: "hello" } }), { allow: true });
assert.equal(asked({ gate: "send", message: { body: "rude" } }).allow, false);
assert.equal(asked({ gate: "join" }, false), 401);
