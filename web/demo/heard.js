// What is heard by those who do not see the page: what others write as it comes, and nothing that was there before.

import { by, make } from "./dom.js";

/** What comes together is heard together. */
const GATHER_MS = 300;
/** Of more than these only the last is read out. */
const AT_ONCE = 3;
const KEPT = 8;

let waiting = [];

export function hear(words) {
  waiting.push(words);
  if (waiting.length === 1) setTimeout(tell, GATHER_MS);
}

function tell() {
  const said = waiting.length > AT_ONCE ? [`${waiting.length} new messages. The last: ${waiting.at(-1)}`] : waiting;
  waiting = [];
  const place = by("heard");
  place.append(...said.map((words) => make("p", "", words)));
  while (place.children.length > KEPT) place.firstElementChild.remove();
}
