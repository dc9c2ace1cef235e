// What is asked before something is done. Nothing is done by one click.

import { by, make } from "../demo/dom.js";

const dialog = by("confirm");
let question = null; // { act, isDoing }
let part = null;

by("confirm-no").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  // It is told a moment later, and somebody may have asked anew by then.
  if (dialog.open) return;
  question = null;
  by("confirm-fields").replaceChildren();
  // What it was asked from may be gone by now: then whoever is here by keyboard is in the same part of the page.
  if (document.activeElement === document.body) part?.focus({ preventScroll: true });
});
by("confirm-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const own = question;
  if (!own || own.isDoing) return;
  const problem = by("confirm-problem");
  problem.hidden = true;
  own.isDoing = true;
  try {
    await own.act(Object.fromEntries(new FormData(by("confirm-form"))));
    // Whoever did not wait for it may be asked something else by now.
    if (own === question) dialog.close();
  } catch (error) {
    if (own !== question) return;
    problem.textContent = error.message;
    problem.hidden = false;
  } finally {
    own.isDoing = false;
  }
});

/**
 * Asks, and does it if that is wanted. Each field is `{ name, label, value?, options?, required? }`; `act` gets their values,
 * and what it throws is shown.
 */
export function confirm({ title, text, yes, fields = [], act }) {
  by("confirm-title").textContent = title;
  by("confirm-text").textContent = text;
  by("confirm-yes").textContent = yes;
  by("confirm-problem").hidden = true;
  by("confirm-fields").replaceChildren(...fields.flatMap(({ name, label, value = "", options, required = false }) => {
    const id = `confirm-${name}`;
    const field = options
      ? make("select", "", options.map(([value, text]) => make("option", "", text, { value })), { id, name })
      : make("input", "", "", { id, name, required, maxLength: 256, autocapitalize: "none", spellcheck: false });
    if (value !== "") field.value = value;
    return [make("label", "", label, { htmlFor: id }), field];
  }));
  question = { act, isDoing: false };
  part = document.activeElement.closest("section");
  dialog.showModal();
  // The first thing to fill in, or the way out: never the deed itself.
  (dialog.querySelector(".fields input, .fields select") ?? by("confirm-no")).focus();
}

export const DURATIONS = [["600", "10 minutes"], ["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"], ["2592000", "30 days"]];
