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
 * Makes the children of the element these. What looks the same is not touched, so that whoever presses it, or has come to it by
 * keyboard, keeps it; who was at one that has gone is at the one with the same `data-key`, else at what stands in its place.
 */
export function list(id, items) {
  const element = by(id);
  const before = [...element.children];
  const next = items.map((item) => {
    const at = before.findIndex((known) => known.isEqualNode(item));
    return at < 0 ? item : before.splice(at, 1)[0];
  });
  const was = document.activeElement;
  const at = [...element.children].findIndex((item) => item.contains(was));
  for (const gone of before) gone.remove();
  next.forEach((item, index) => element.children[index] === item || element.insertBefore(item, element.children[index] ?? null));
  if (at < 0 || was === document.activeElement) return;
  const controls = [...element.querySelectorAll("[data-key]")];
  const there = controls.find((item) => item.dataset.key === was.dataset.key) ?? controls[Math.min(at, controls.length - 1)] ?? element;
  there.focus({ preventScroll: true });
}

/** Hides it. Whoever was in it by keyboard is at the other one. */
export function hide(element, other) {
  const wasThere = element.contains(document.activeElement);
  element.hidden = true;
  if (wasThere) other.focus();
}

/** Does what moves it in the document. Whoever is in it by keyboard stays. */
export function staying(element, move) {
  const at = element.contains(document.activeElement) ? document.activeElement : null;
  move();
  at?.focus({ preventScroll: true });
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
