"use strict";

// One box selects all entries of the page.
for (const box of document.querySelectorAll("[data-selects-all]")) {
  const others = box.closest("table").querySelectorAll("input[name=entry]");
  box.addEventListener("change", () => {
    for (const other of others) other.checked = box.checked;
  });
}

// Printing needs a script; without one, the browser's own menu does it.
for (const button of document.querySelectorAll("[data-prints]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
