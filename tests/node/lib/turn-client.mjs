// As much of a TURN client (RFC 8656) as it takes to ask whom one may reach. Nothing is sent to any of them.

import { createHash, createHmac, randomBytes } from "node:crypto";
import { connect } from "node:net";

const COOKIE = 0x2112a442;
const [ALLOCATE, PERMIT] = [0x0003, 0x0008];
const [USERNAME, INTEGRITY, ERROR, PEER, REALM, NONCE, TRANSPORT] = [0x0006, 0x0008, 0x0009, 0x0012, 0x0014, 0x0015, 0x0019];
const UDP = Buffer.from([17, 0, 0, 0]);

function attribute(type, value) {
  const bytes = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(value.length, 2);
  Buffer.from(value).copy(bytes, 4);
  return bytes;
}

function message(type, attributes, key) {
  const body = Buffer.concat(attributes.map(([type, value]) => attribute(type, value)));
  const head = Buffer.alloc(20);
  head.writeUInt16BE(type, 0);
  // The MAC covers a head that counts its own attribute in.
  head.writeUInt16BE(body.length + (key ? 24 : 0), 2);
  head.writeUInt32BE(COOKIE, 4);
  randomBytes(12).copy(head, 8);
  const whole = Buffer.concat([head, body]);
  return key ? Buffer.concat([whole, attribute(INTEGRITY, createHmac("sha1", key).update(whole).digest())]) : whole;
}

function attributesOf(bytes) {
  const found = new Map();
  for (let at = 20; at < bytes.length;) {
    const length = bytes.readUInt16BE(at + 2);
    found.set(bytes.readUInt16BE(at), bytes.subarray(at + 4, at + 4 + length));
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return found;
}

function address(ip) {
  const bytes = Buffer.alloc(8);
  bytes[1] = 1;
  bytes.writeUInt16BE(9 ^ (COOKIE >>> 16), 2);
  const number = ip.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  bytes.writeUInt32BE((number ^ COOKIE) >>> 0, 4);
  return bytes;
}

/// For each address the code with which the server refuses it as a peer; 0: it does not.
export async function permissions(port, { username, credential }, addresses) {
  const socket = connect(port, "127.0.0.1");
  let unread = Buffer.alloc(0);
  const chunks = socket.iterator({ destroyOnReturn: false });
  const ask = async (bytes) => {
    socket.write(bytes);
    while (unread.length < 20 || unread.length < 20 + unread.readUInt16BE(2)) {
      const { value, done } = await chunks.next();
      if (done) throw new Error("the TURN server has closed the connection");
      unread = Buffer.concat([unread, value]);
    }
    const answer = unread.subarray(0, 20 + unread.readUInt16BE(2));
    unread = unread.subarray(answer.length);
    const found = attributesOf(answer);
    const error = found.get(ERROR);
    return { found, code: error ? error[2] * 100 + error[3] : 0 };
  };
  const { found } = await ask(message(ALLOCATE, [[TRANSPORT, UDP]]));
  const [realm, nonce] = [found.get(REALM), found.get(NONCE)];
  const key = createHash("md5").update(`${username}:${realm}:${credential}`).digest();
  const own = [[USERNAME, username], [REALM, realm], [NONCE, nonce]];
  const allocated = await ask(message(ALLOCATE, [[TRANSPORT, UDP], ...own], key));
  if (allocated.code) throw new Error(`no allocation: ${allocated.code}`);
  const codes = {};
  for (const ip of addresses) codes[ip] = (await ask(message(PERMIT, [[PEER, address(ip)], ...own], key))).code;
  socket.destroy();
  return codes;
}
