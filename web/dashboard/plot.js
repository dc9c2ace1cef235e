// One tile: a name, a large number, what belongs to it, and a plot of the last minutes.

import { make } from "../demo/dom.js";
import { ago, clock } from "./words.js";

const WIDTH = 300;
const HEIGHT = 72;
/** Of a plot; what falls into one column is shown by its greatest. */
const COLUMNS = 180;
/** Columns apart that are still joined by a line: the older past has a sample in ten seconds. */
const GAP_MS = 26_000;

const svg = (tag, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

export class Tile {
  #lines;
  #points = [];
  #span = 0;
  #figures;
  #greatest = 0;

  /** `lines`: what is drawn, each `{ of, name }` with the key of a value; `show` makes words of a number. */
  constructor({ id, title, lines, show, note }) {
    this.#lines = lines;
    this.show = show;
    this.note = note;
    this.number = make("p", "tile-number", "–");
    this.small = make("p", "tile-note", "");
    this.since = make("span");
    this.scale = make("span");
    this.readout = make("p", "tile-readout", "", { hidden: true });
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.paths = lines.map((_, index) => svg("path", { class: `line line-${index}` }));
    this.area = svg("path", { class: "area" });
    this.mark = svg("line", { class: "mark", y1: 0, y2: HEIGHT, visibility: "hidden" });
    this.picture.append(svg("line", { class: "floor", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }), this.area, ...this.paths, this.mark);
    const legend = make("p", "legend", lines.length < 2 ? "" : lines.map(({ name }, index) => make("span", `key key-${index}`, name)));
    this.title = title;
    this.element = make("article", "tile", [make("div", "tile-head", [make("h3", "", title), legend]), make("div", "tile-line", [this.number, this.small]), make("div", "plot", [make("p", "tile-scale", [this.since, this.scale]), this.readout])]);
    this.element.id = `tile-${id}`;
    this.element.querySelector(".plot").prepend(this.picture);
    this.picture.addEventListener("pointermove", (event) => this.#point(event));
    this.picture.addEventListener("pointerleave", () => this.#point(null));
  }

  draw(figures, span, cut) {
    const { points, now: end } = figures;
    this.#figures = figures;
    this.#points = points;
    this.#span = span;
    const now = points.at(-1)?.values;
    if (!now) return;
    const text = this.show(now[this.#lines[0].of]);
    if (this.number.textContent !== text) this.number.textContent = text;
    this.small.textContent = this.note(cut, now);
    const columns = this.#lines.map(({ of }) => this.#columns(of, end));
    this.#greatest = Math.max(...columns.flat().map(({ value }) => value), 0);
    // A tenth above it, so that what is steady is no roof.
    const top = this.#greatest > 0 ? this.#greatest * 1.1 : 1;
    columns.forEach((line, index) => {
      const place = ({ x, value }) => `${x.toFixed(1)} ${(HEIGHT - 1 - (value / top) * (HEIGHT - 4)).toFixed(1)}`;
      let path = "";
      let area = "";
      let from = null;
      line.forEach((point, at) => {
        const before = line[at - 1];
        const isApart = !before || point.at - before.at > GAP_MS;
        if (isApart && from) area += `L${before.x.toFixed(1)} ${HEIGHT}L${from.x.toFixed(1)} ${HEIGHT}Z`;
        if (isApart) from = point;
        path += `${isApart ? "M" : "L"}${place(point)}`;
        area += `${isApart ? "M" : "L"}${place(point)}`;
      });
      if (from) area += `L${line.at(-1).x.toFixed(1)} ${HEIGHT}L${from.x.toFixed(1)} ${HEIGHT}Z`;
      this.paths[index].setAttribute("d", path);
      if (index === 0) this.area.setAttribute("d", area);
    });
    this.since.textContent = `${ago(span)} ago`;
    this.scale.textContent = this.#greatest > 0 ? `max ${this.show(this.#greatest)}` : "";
  }

  /** For those who hear it. */
  describe() {
    this.picture.setAttribute("aria-label", `${this.title} over the last ${ago(this.#span)}: now ${this.number.textContent}, at most ${this.show(this.#greatest)}`);
  }

  #columns(of, end) {
    const columns = [];
    for (const { at, values } of this.#points) {
      const value = values[of];
      if (value === null || value === undefined) continue;
      const share = 1 - (end - at) / this.#span;
      if (share < 0) continue;
      // By the clock and not by the edge, which moves: a peak stays in its column.
      const column = Math.floor((at * COLUMNS) / this.#span);
      const last = columns.at(-1);
      if (last?.column === column) {
        last.value = Math.max(last.value, value);
        last.at = at;
        last.x = share * WIDTH;
      } else columns.push({ column, x: share * WIDTH, value, at });
    }
    return columns;
  }

  #point(event) {
    this.readout.hidden = !event;
    this.mark.setAttribute("visibility", event ? "visible" : "hidden");
    if (!event) return;
    const { left, width } = this.picture.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
    const at = this.#figures.now - this.#span * (1 - share);
    let nearest = null;
    for (const point of this.#points) if (!nearest || Math.abs(point.at - at) < Math.abs(nearest.at - at)) nearest = point;
    if (!nearest) return;
    this.mark.setAttribute("x1", share * WIDTH);
    this.mark.setAttribute("x2", share * WIDTH);
    this.readout.textContent = `${clock(this.#figures.onWall(nearest.at))} · ${this.#lines.map(({ of, name }) => `${name ? `${name} ` : ""}${this.show(nearest.values[of])}`).join(" · ")}`;
  }
}
