// The button of the table of contents is a label to mdBook, which only a mouse can press.

"use strict";

document.getElementById("mdbook-sidebar-toggle")?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  event.currentTarget.click();
});
