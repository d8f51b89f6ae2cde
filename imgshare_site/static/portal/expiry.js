// The lists of what is due and of what waits: one tick for all rows of a list that may be decided together.
"use strict";
for (const all of document.querySelectorAll("[data-tick-all]")) {
  all.addEventListener("change", () => {
    for (const box of all.closest("table").querySelectorAll("[data-tick]")) box.checked = all.checked;
  });
}
