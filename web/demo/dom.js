// Small words for the document.

export const by = (id) => document.getElementById(id);

/** An element: its class, its text or its children. */
export function make(tag, className = "", content = "", attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (Array.isArray(content)) element.append(...content);
  else element.textContent = content;
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  return element;
}

/**
 * Makes the children of the element these. What looks the same stays, so that whoever presses it, or has come to it by keyboard,
 * keeps it; of what is there anew, the one with the same `data-key` is where they are.
 */
export function list(id, items) {
  const element = by(id);
  const before = [...element.children];
  const next = items.map((item) => {
    const at = before.findIndex((known) => known.isEqualNode(item));
    return at < 0 ? item : before.splice(at, 1)[0];
  });
  if (next.length === element.children.length && next.every((item, index) => item === element.children[index])) return;
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...next);
  if (key !== undefined) [...element.querySelectorAll("[data-key]")].find((item) => item.dataset.key === key)?.focus({ preventScroll: true });
}

const HUES = 8;

/** A colour of one's own, the same on every page. */
export function hue(name) {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return `hue-${hash % HUES}`;
}

export function time(ts) {
  return new Date(ts).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function day(ts) {
  return new Date(ts).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
