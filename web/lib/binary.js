// Bytes in JSON: `{"$binary":"<base64>"}` on the plain websocket, Uint8Array in the program.

const CHUNK = 0x8000;
const KEY = "$binary";

/** The same value with every ArrayBuffer and view written as text. Gives back what it got where there is none. */
export function toText(value) {
  if (value === null || typeof value !== "object") return value;
  if (value instanceof ArrayBuffer) return { [KEY]: base64(new Uint8Array(value)) };
  if (ArrayBuffer.isView(value)) return { [KEY]: base64(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) };
  return changed(value, toText);
}

/** The other way round. */
export function fromText(value) {
  if (value === null || typeof value !== "object") return value;
  if (typeof value[KEY] === "string" && Object.keys(value).length === 1) return bytes(value[KEY]);
  return changed(value, fromText);
}

/** What a Socket.IO client gives (ArrayBuffer in browsers, Buffer in Node), as Uint8Array. */
export function uniform(value) {
  if (value === null || typeof value !== "object") return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return changed(value, uniform);
}

// Copies only where something is different.
function changed(value, change) {
  let copy = null;
  for (const [key, inner] of Object.entries(value)) {
    const other = change(inner);
    if (other === inner) continue;
    copy ??= Array.isArray(value) ? [...value] : { ...value };
    copy[key] = other;
  }
  return copy ?? value;
}

function base64(view) {
  let text = "";
  for (let at = 0; at < view.length; at += CHUNK) text += String.fromCharCode(...view.subarray(at, at + CHUNK));
  return btoa(text);
}

function bytes(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
